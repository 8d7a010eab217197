#include "channel/control_codec.hpp"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "base/put.hpp"

namespace cpgring::channel {
namespace {

using base::put;
using bytes = std::span<const std::byte>;

// --- writing

class buffer {
 public:
  template <class T>
  void add(T value) {
    all_.resize(all_.size() + sizeof value);
    put(all_.data() + all_.size() - sizeof value, value);
  }
  void add_id(const hello_id& id) {
    add(id.from.node_id);
    add(id.from.pid);
    add(id.stay);
    add(id.number);
  }
  /// As an entry of a JOIN.
  void add_name(alias as, std::string_view name) {
    add(as);
    add(static_cast<std::uint8_t>(name.size()));
    add(std::uint8_t{0});
    const std::size_t at = all_.size();
    all_.resize(at + pack::padded(name.size()));
    if (!name.empty()) {
      std::memcpy(all_.data() + at, name.data(), name.size());
    }
  }
  void add_bytes(bytes more) { all_.insert(all_.end(), more.begin(), more.end()); }
  void clear() noexcept { all_.clear(); }
  [[nodiscard]] std::size_t size() const noexcept { return all_.size(); }
  [[nodiscard]] bytes get() const noexcept { return all_; }

 private:
  std::vector<std::byte> all_;
};

// --- reading

/// Takes fields one after the other. After the first that is missing all others are 0, and failed() is true.
class fields {
 public:
  explicit fields(bytes from) noexcept : from_(from) {}

  template <class T>
  T take() noexcept {
    T value{};
    if (from_.size() < sizeof value) {
      failed_ = true;
      from_ = {};
      return value;
    }
    std::memcpy(&value, from_.data(), sizeof value);
    from_ = from_.subspan(sizeof value);
    return value;
  }
  hello_id take_id() noexcept {
    hello_id id;
    id.from.node_id = take<std::uint32_t>();
    id.from.pid = take<std::uint32_t>();
    id.stay = take<std::uint64_t>();
    id.number = take<std::uint32_t>();
    return id;
  }
  std::string take_name(alias& as) {
    as = take<alias>();
    const std::size_t length = take<std::uint8_t>();
    static_cast<void>(take<std::uint8_t>());
    if (length > pack::name_max || pack::padded(length) > from_.size()) {
      failed_ = true;
      from_ = {};
      return {};
    }
    std::string name(reinterpret_cast<const char*>(from_.data()), length);
    from_ = from_.subspan(pack::padded(length));
    return name;
  }
  [[nodiscard]] bool failed() const noexcept { return failed_; }
  [[nodiscard]] bytes rest() const noexcept { return from_; }
  [[nodiscard]] bool at_end() const noexcept { return from_.empty(); }

 private:
  bytes from_;
  bool failed_ = false;
};

failure broken(const char* record, const char* what) {
  return fail(errc::malformed, fmt::format("{}: {}", record, what));
}

}  // namespace

// --- HELLO -------------------------------------------------------------------------------------------------

void encode(const hello_record& one, const record_sink& to) {
  buffer b;
  b.add_id(one.id);
  b.add(std::uint32_t{0});
  to(pack::hello, b.get());
}

result<hello_record> decode_hello(bytes from) {
  fields f(from);
  hello_record one{f.take_id()};
  static_cast<void>(f.take<std::uint32_t>());
  if (f.failed()) {
    return broken("HELLO", "it is too short");
  }
  return one;
}

// --- JOIN and LEAVE ----------------------------------------------------------------------------------------

void encode(const join_record& one, const record_sink& to) {
  buffer b;
  std::uint64_t operation = one.first_operation;
  for (const auto& entry : one.entries) {
    const std::size_t wanted = pack::join_entry_bytes + pack::padded(entry.name.size());
    if (b.size() != 0 && b.size() + wanted > pack::part_max) {
      to(pack::join, b.get());
      b.clear();
    }
    if (b.size() == 0) {
      b.add(operation);
    }
    b.add_name(entry.as, entry.name);
    ++operation;
  }
  if (b.size() != 0) {
    to(pack::join, b.get());
  }
}

void encode(const leave_record& one, const record_sink& to) {
  buffer b;
  std::uint64_t operation = one.first_operation;
  for (const auto& entry : one.entries) {
    if (b.size() != 0 && b.size() + pack::leave_entry_bytes > pack::part_max) {
      to(pack::leave, b.get());
      b.clear();
    }
    if (b.size() == 0) {
      b.add(operation);
    }
    b.add(entry.as);
    b.add(static_cast<std::uint16_t>(entry.why));
    ++operation;
  }
  if (b.size() != 0) {
    to(pack::leave, b.get());
  }
}

result<join_record> decode_join(bytes from) {
  fields f(from);
  join_record one;
  one.first_operation = f.take<std::uint64_t>();
  while (!f.at_end()) {
    alias as = 0;
    std::string name = f.take_name(as);
    one.entries.push_back({as, std::move(name)});
  }
  if (f.failed()) {
    return broken("JOIN", "a name goes beyond its end, or has more than 128 bytes");
  }
  if (one.first_operation == 0 || one.first_operation > UINT64_MAX - one.entries.size()) {
    return broken("JOIN", "the number of its first operation is out of range");
  }
  return one;
}

result<leave_record> decode_leave(bytes from) {
  fields f(from);
  leave_record one;
  one.first_operation = f.take<std::uint64_t>();
  while (!f.at_end()) {
    const auto as = f.take<alias>();
    const auto why = f.take<std::uint16_t>();
    const bool known = why == static_cast<std::uint16_t>(reason::process_down);
    one.entries.push_back({as, known ? reason::process_down : reason::leave});
  }
  if (f.failed()) {
    return broken("LEAVE", "an entry goes beyond its end");
  }
  if (one.first_operation == 0 || one.first_operation > UINT64_MAX - one.entries.size()) {
    return broken("LEAVE", "the number of its first operation is out of range");
  }
  return one;
}

// --- CHUNK -------------------------------------------------------------------------------------------------

void encode(const chunk_record& one, std::span<std::byte, pack::chunk_bytes> to) {
  put(to.data(), one.as);
  put(to.data() + 2, static_cast<std::uint16_t>(one.which));
  put(to.data() + 4, one.transfer);
  put(to.data() + 8, one.total);
  put(to.data() + 16, one.offset);
}

result<chunk_record> decode_chunk(bytes from) {
  fields f(from);
  chunk_record one;
  one.as = f.take<alias>();
  const auto part = f.take<std::uint16_t>();
  one.transfer = f.take<std::uint32_t>();
  one.total = f.take<std::uint64_t>();
  one.offset = f.take<std::uint64_t>();
  if (f.failed()) {
    return broken("CHUNK", "it is too short");
  }
  if (part > static_cast<std::uint16_t>(chunk_record::part::last)) {
    return broken("CHUNK", "it is no first, middle or last part");
  }
  one.which = static_cast<chunk_record::part>(part);
  const std::size_t size = f.rest().size();
  if (one.offset > one.total || size > one.total - one.offset) {
    return broken("CHUNK", "it goes beyond the end of its message");
  }
  if ((one.which == chunk_record::part::first) != (one.offset == 0) ||
      (one.which == chunk_record::part::last) != (one.offset + size == one.total)) {
    return broken("CHUNK", "its part does not fit its offset");
  }
  return one;
}

// --- STATE -------------------------------------------------------------------------------------------------

result<void> encode(const state_record& one, const record_sink& to) {
  buffer body;
  body.add(static_cast<std::uint32_t>(one.names.size()));
  body.add(static_cast<std::uint32_t>(one.processes.size()));
  for (const std::string& name : one.names) {
    body.add_name(0, name);
  }
  for (const process_state& each : one.processes) {
    body.add(each.at.node_id);
    body.add(each.at.pid);
    body.add(each.stay);
    body.add(each.operations);
    body.add(static_cast<std::uint32_t>(each.runs.size()));
    for (const auto& run : each.runs) {
      body.add(run.first);
      body.add(std::uint16_t{0});
      body.add(run.name);
      body.add(run.length);
    }
  }
  if (body.size() > pack::state_max) {
    return fail(errc::too_big, fmt::format("the table of the channels has {} bytes, at most {} can be sent",
                                           body.size(), pack::state_max));
  }
  const std::size_t room = pack::part_max - pack::state_bytes, parts = (body.size() + room - 1) / room;
  for (std::size_t part = 0; part < parts; ++part) {
    buffer b;
    b.add_id(one.id);
    b.add(std::uint32_t{0});
    b.add(static_cast<std::uint16_t>(part));
    b.add(static_cast<std::uint16_t>(parts));
    b.add(static_cast<std::uint32_t>(body.size()));
    b.add_bytes(body.get().subspan(part * room, std::min(room, body.size() - part * room)));
    to(pack::state, b.get());
  }
  return {};
}

result<std::optional<state_record>> state_assembler::push(member_address from, bytes part) {
  fields f(part);
  const hello_id id = f.take_id();
  static_cast<void>(f.take<std::uint32_t>());
  const auto number = f.take<std::uint16_t>(), parts = f.take<std::uint16_t>();
  const auto in_all = f.take<std::uint32_t>();
  const auto refuse = [&](const char* what) {
    open_.erase(from);
    return broken("STATE", what);
  };
  if (f.failed()) {
    return refuse("it is too short");
  }
  if (parts == 0 || number >= parts || in_all > pack::state_max) {
    return refuse("the number of its parts, or its size, is out of range");
  }
  if (number == 0) {
    open_[from] = {id, parts, 0, in_all, {}};
  }
  const auto at = open_.find(from);
  if (at == open_.end()) {
    return std::optional<state_record>();  // its beginning was sent before this process came
  }
  partial& one = at->second;
  if (one.id != id || one.parts != parts || one.next != number || one.bytes_in_all != in_all ||
      f.rest().size() > in_all - one.bytes.size()) {
    return refuse("a part does not follow the one before");
  }
  one.bytes.insert(one.bytes.end(), f.rest().begin(), f.rest().end());
  if (++one.next < one.parts) {
    return std::optional<state_record>();
  }
  const partial whole = std::move(one);
  open_.erase(at);
  if (whole.bytes.size() != whole.bytes_in_all) {
    return broken("STATE", "its parts are shorter than it says");
  }
  auto decoded = decode(whole.id, whole.bytes);
  if (!decoded) {
    return fail(std::move(decoded.error()));
  }
  return std::optional(std::move(*decoded));
}

result<state_record> state_assembler::decode(const hello_id& id, bytes body) {
  fields f(body);
  state_record all;
  all.id = id;
  const auto names = f.take<std::uint32_t>(), processes = f.take<std::uint32_t>();
  if (processes > pack::processes_max) {
    return broken("STATE", "it lists more than 1024 processes");
  }
  for (std::uint32_t i = 0; i < names && !f.failed(); ++i) {
    alias unused = 0;
    all.names.push_back(f.take_name(unused));
  }
  for (std::uint32_t i = 0; i < processes && !f.failed(); ++i) {
    process_state& one = all.processes.emplace_back();
    one.at.node_id = f.take<std::uint32_t>();
    one.at.pid = f.take<std::uint32_t>();
    one.stay = f.take<std::uint64_t>();
    one.operations = f.take<std::uint64_t>();
    const auto runs = f.take<std::uint32_t>();
    for (std::uint32_t r = 0; r < runs && !f.failed(); ++r) {
      process_state::run& run = one.runs.emplace_back();
      run.first = f.take<alias>();
      static_cast<void>(f.take<std::uint16_t>());
      run.name = f.take<std::uint32_t>();
      run.length = f.take<std::uint32_t>();
    }
  }
  if (f.failed() || !f.at_end()) {
    return broken("STATE", "its names and processes do not fill it exactly");
  }
  return all;
}

}  // namespace cpgring::channel
