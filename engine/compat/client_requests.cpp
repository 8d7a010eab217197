// What a handle asks of the service. Each call waits for its answer up to the deadline. The next call drops an answer that comes later, or
// that a cancelled thread has not read. The callers have switched cancellation off; see cancellation.hpp.
#include <poll.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <thread>
#include <tuple>

#include "compat/cancellation.hpp"
#include "compat/client.hpp"
#include "compat/codes.hpp"
#include "cpg/encode.hpp"
#include "ipc/answer_wait.hpp"
#include "ipc/handshake.hpp"

namespace cpgring::compat {
namespace {

namespace w = cpg::wire;
using std::chrono::milliseconds;

constexpr std::uint32_t ring_bytes = 1048576;  // as stock libcpg asks for: the largest event that any sender can make fits
constexpr std::uint64_t nobodys_token = 0;
// A service that died posts nothing; so long it takes to find out.
constexpr milliseconds look_at_socket_every{50};
// A leave or join of ours that is still on its way answers BUSY; it settles within a token's round or never.
constexpr milliseconds busy_patience{2000};

std::size_t bytes_of(std::span<const iovec> pieces) {
  std::size_t total = 0;
  for (const auto& piece : pieces) {
    total += piece.iov_len;
  }
  return total;
}

/// Copies on from where it stood, across the borders of pieces.
class gather {
 public:
  explicit gather(std::span<const iovec> pieces) : pieces_(pieces) {}
  void copy(std::byte* to, std::size_t bytes) {
    while (bytes != 0) {
      const iovec& piece = pieces_[index_];
      const std::size_t part = std::min(bytes, piece.iov_len - at_);
      if (part != 0) {
        std::memcpy(to, static_cast<const std::byte*>(piece.iov_base) + at_, part);
      }
      to += part;
      bytes -= part;
      at_ += part;
      if (at_ == piece.iov_len) {
        ++index_;
        at_ = 0;
      }
    }
  }

 private:
  std::span<const iovec> pieces_;
  std::size_t index_ = 0, at_ = 0;
};

/// A thread may be cancelled here.
template <class Duration>
void pause_for(Duration pause) {
  cancellably([pause] { std::this_thread::sleep_for(pause); });
}

cs_error_t error_in(const std::vector<std::byte>& answer) { return code_of_service(base::read_once_i32(answer.data() + w::header_error)); }

// Rows of a walk over one group: far more than a group has, so that a service that goes on without an end does not take our memory.
constexpr std::size_t rows_max = 65536;

}  // namespace

// --- the beginning -------------------------------------------------------------------------------------------------------------

result<std::shared_ptr<client>> client::open(const callback_set& calls, void* context) {
  const settings& s = settings_of_process();
  if (!s.valid) {
    return fail(errc::invalid_param, "CPGRING_LIBCPG_DEADLINE_MS, _SERVICE_UID or _STOCK has a value that docs/libcpg.md does not list");
  }
  auto begun = ipc::handshake::begin("cpg", ring_bytes, false, s.service_uid);
  if (!begun) {
    return fail(begun.error());
  }
  const auto until = base::clock::now() + s.deadline;
  for (;;) {
    auto step = begun->advance();
    if (!step) {
      return fail(step.error());
    }
    if (*step == ipc::handshake::step::done) {
      break;
    }
    if (s.deadline.count() != 0 && base::clock::now() >= until) {
      return fail(errc::timeout);
    }
    if (*step == ipc::handshake::step::retry_connect) {
      pause_for(milliseconds(1));
      continue;
    }
    pollfd readable{begun->fd(), POLLIN, 0};
    const auto left = std::chrono::duration_cast<milliseconds>(until - base::clock::now()).count();
    cancellably([&] { ::poll(&readable, 1, s.deadline.count() == 0 ? -1 : static_cast<int>(std::max<std::int64_t>(left, 0))); });
  }
  auto connection = begun->finish();
  if (!connection) {
    return fail(connection.error());
  }
  return std::make_shared<client>(calls, context, std::move(*connection));
}

client::client(const callback_set& calls, void* context_of_user, ipc::connection connection)
    : context(context_of_user), calls_(calls), settings_(settings_of_process()), connection_(std::move(connection)) {}

// --- one request and its answer ------------------------------------------------------------------------------------------------

std::optional<base::time_point> client::deadline() const noexcept {
  return settings_.deadline.count() == 0 ? std::nullopt : std::optional(base::clock::now() + settings_.deadline);
}

/// While the service holds its clients back nothing is written: the waiting byte would make a stock daemon spin.
cs_error_t client::wait_writable(const std::optional<base::time_point>& until) {
  for (auto pause = std::chrono::microseconds(50);;) {
    switch (connection_.writable()) {
      case ipc::writable::yes:
      case ipc::writable::ring_full: return CS_OK;
      case ipc::writable::hung_up: return CS_ERR_LIBRARY;
      case ipc::writable::flow_control:
      case ipc::writable::outstanding: break;
    }
    if (connection_.hung_up()) {
      return CS_ERR_LIBRARY;
    }
    if (over(until)) {
      return CS_ERR_TIMEOUT;
    }
    pause_for(pause);
    pause = std::min(pause * 2, std::chrono::microseconds(2000));
  }
}

cs_error_t client::wait_room_for(std::size_t bytes, const std::optional<base::time_point>& until, std::byte*& room) {
  for (;;) {
    if (const cs_error_t e = wait_writable(until); e != CS_OK) {
      return e;
    }
    room = connection_.reserve(static_cast<std::uint32_t>(bytes));
    if (room != nullptr) {
      return CS_OK;
    }
    if (over(until)) {
      return CS_ERR_TIMEOUT;
    }
    pause_for(std::chrono::microseconds(100));
  }
}

/// Under requests_. The header's error is the caller's to look at.
cs_error_t client::ask(const request_text& what, std::vector<std::byte>& answer) {
  const auto until = deadline();
  forget_late_answers();
  if (!connection_.answers().room_for(what.answer_size)) {
    return CS_ERR_TRY_AGAIN;  // answers that nobody waits for any more are still to come
  }
  std::byte* room = nullptr;
  if (const cs_error_t e = wait_room_for(what.bytes.size(), until, room); e != CS_OK) {
    return e;
  }
  std::memcpy(room, what.bytes.data(), what.bytes.size());
  connection_.stage(static_cast<std::uint32_t>(what.bytes.size()));
  const std::uint64_t token = next_token_++;
  connection_.answers().expect(static_cast<std::uint32_t>(what.answer_id), what.answer_size, token);
  if (auto sent = connection_.flush(); !sent) {
    return code_of(sent.error());
  }
  const cs_error_t e = await(token, until, answer);
  // A bare answer is an error; what made it one lay in memory that the service can change until it is copied.
  return e == CS_OK && answer.size() < what.answer_size && error_in(answer) == CS_OK ? CS_ERR_LIBRARY : e;
}

/// Under requests_. The next call throws the answer away. False: it can't be written now.
bool client::tell(const request_text& what) {
  forget_late_answers();
  if (connection_.writable() != ipc::writable::yes || !connection_.answers().room_for(what.answer_size)) {
    return false;
  }
  std::byte* const room = connection_.reserve(static_cast<std::uint32_t>(what.bytes.size()));
  if (room == nullptr) {
    return false;
  }
  std::memcpy(room, what.bytes.data(), what.bytes.size());
  connection_.stage(static_cast<std::uint32_t>(what.bytes.size()));
  connection_.answers().expect(static_cast<std::uint32_t>(what.answer_id), what.answer_size, nobodys_token);
  return connection_.flush().has_value();
}

/// One question and its whole answer; what the header of the answer says counts too.
cs_error_t client::answer_to(const request_text& what, std::vector<std::byte>& answer) {
  const std::lock_guard lock(requests_);
  if (finalized()) {
    return CS_ERR_BAD_HANDLE;
  }
  const cs_error_t e = ask(what, answer);
  return e == CS_OK ? error_in(answer) : e;
}

cs_error_t client::await(std::uint64_t token, const std::optional<base::time_point>& until, std::vector<std::byte>& answer) {
  auto& answers = connection_.answers();
  for (;;) {
    ipc::answer one;
    switch (answers.next(one)) {
      case ipc::look::broken: return CS_ERR_LIBRARY;
      case ipc::look::frame:
        if (one.token == token) {
          answer.assign(one.bytes.data, one.bytes.data + one.bytes.size);
          return CS_OK;
        }
        continue;
      case ipc::look::empty: break;
    }
    if (connection_.must_flush()) {
      if (auto sent = connection_.flush(); !sent) {
        return code_of(sent.error());
      }
    }
    base::nanoseconds longest = look_at_socket_every;
    if (until) {
      longest = std::min(longest, std::max(base::nanoseconds(0), *until - base::clock::now()));
    }
    cancellably([&] { ipc::wait_for_count(connection_.responses(), longest); });
    if (connection_.responses().waiting() == 0) {
      if (connection_.hung_up() && connection_.responses().waiting() == 0) {
        return CS_ERR_LIBRARY;
      }
      if (over(until)) {
        return CS_ERR_TIMEOUT;
      }
    }
  }
}

void client::forget_late_answers() {
  ipc::answer one;
  while (connection_.answers().expecting() != 0 && connection_.answers().next(one) == ipc::look::frame) {
  }
}

/// An idle service that met a full event ring looks at its queue again only every 50 ms, unless a request comes.
void client::poke() {
  const uncancelled off;
  const std::unique_lock lock(requests_, std::try_to_lock);
  if (!lock || finalized()) {
    return;  // then another thread's request does it
  }
  static_cast<void>(tell(
      {cpg::make_request(wire_request::local_get, w::local_get_request::bytes), wire_response::local_get, w::local_get_response::bytes}));
}

cs_error_t client::ask_until_not_busy(const request_text& what) {
  const auto end = base::clock::now() + busy_patience;
  for (auto pause = milliseconds(1);; pause = std::min(pause * 2, milliseconds(50))) {
    std::vector<std::byte> answer;
    if (const cs_error_t e = ask(what, answer); e != CS_OK) {
      return e;
    }
    const cs_error_t said = error_in(answer);
    if (said != CS_ERR_BUSY || base::clock::now() >= end || state_.load(std::memory_order_relaxed) == membership_state::left) {
      return said;
    }
    pause_for(pause);
  }
}

// --- groups --------------------------------------------------------------------------------------------------------------------

cs_error_t client::join(const cpg_name& group) {
  if (group.length > CPG_MAX_NAME_LENGTH) {
    return CS_ERR_NAME_TOO_LONG;
  }
  if (group.length == 0) {
    return CS_ERR_INVALID_PARAM;  // a stock service never takes such a member out again
  }
  const std::lock_guard lock(requests_);
  if (finalized()) {
    return CS_ERR_BAD_HANDLE;
  }
  request_text r{cpg::make_request(wire_request::join, w::join_request::bytes), wire_response::join, w::response_header_bytes};
  cpg::put_name(r.bytes.data() + w::join_request::name, text_of(group));
  cpg::put(r.bytes.data() + w::join_request::pid, static_cast<std::uint32_t>(::getpid()));
  cpg::put(r.bytes.data() + w::join_request::flags, calls_.flags);
  expected_.add(group);  // before its first event can come
  const cs_error_t said = ask_until_not_busy(r);
  if (said == CS_OK) {
    joined_ = group;
    state_.store(membership_state::joined, std::memory_order_relaxed);
  } else if (said != CS_ERR_TIMEOUT && said != CS_ERR_LIBRARY) {
    expected_.drop_last();
  }
  return said;
}

cs_error_t client::leave(const cpg_name& group) {
  if (group.length > CPG_MAX_NAME_LENGTH) {
    return CS_ERR_NAME_TOO_LONG;
  }
  const std::lock_guard lock(requests_);
  if (finalized()) {
    return CS_ERR_BAD_HANDLE;
  }
  // The service leaves whatever it is told to, another group's name too, and then neither group is left. cpg_leave(3) says that the name is
  // ignored.
  const bool joined = state_.load(std::memory_order_relaxed) == membership_state::joined;
  const cpg_name& named = joined && joined_.length != 0 && !settings_.leaves_by_name ? joined_ : group;
  request_text r{cpg::make_request(wire_request::leave, w::leave_request::bytes), wire_response::leave, w::response_header_bytes};
  cpg::put_name(r.bytes.data() + w::leave_request::name, text_of(named));
  cpg::put(r.bytes.data() + w::leave_request::pid, static_cast<std::uint32_t>(::getpid()));
  const cs_error_t said = ask_until_not_busy(r);
  if (said == CS_OK) {
    state_.store(membership_state::left, std::memory_order_relaxed);
  }
  return said;
}

// --- messages ------------------------------------------------------------------------------------------------------------------

cs_error_t client::multicast(std::span<const iovec> pieces) {
  const std::size_t total = bytes_of(pieces);
  const std::lock_guard lock(requests_);
  if (finalized()) {
    return CS_ERR_BAD_HANDLE;
  }
  // The service drops it without a word then.
  if (state_.load(std::memory_order_relaxed) != membership_state::joined && !settings_.sends_unjoined) {
    return connection_.hung_up() ? CS_ERR_LIBRARY : CS_ERR_NOT_EXIST;
  }
  return total <= atomic_max ? multicast_whole(pieces, total) : multicast_in_fragments(pieces, total);
}

cs_error_t client::multicast_whole(std::span<const iovec> pieces, std::size_t total) {
  auto may = connection_.writable();
  // So many small requests are under way that their bytes might not fit into the socket. Stock libcpg would wait in send().
  const auto end = may == ipc::writable::outstanding ? base::clock::now() + milliseconds(20) : base::time_point();
  while (may == ipc::writable::outstanding && base::clock::now() < end) {
    pause_for(std::chrono::microseconds(20));
    may = connection_.writable();
  }
  if (may == ipc::writable::hung_up || !connection_.fault()) {
    return CS_ERR_LIBRARY;
  }
  if (may == ipc::writable::flow_control || may == ipc::writable::outstanding) {
    return connection_.hung_up() ? CS_ERR_LIBRARY : CS_ERR_TRY_AGAIN;
  }
  std::byte* const room = connection_.reserve(static_cast<std::uint32_t>(w::multicast_request::data + total));
  if (room == nullptr) {
    return connection_.hung_up() ? CS_ERR_LIBRARY : CS_ERR_TRY_AGAIN;
  }
  cpg::put_multicast_header(room, total);
  gather(pieces).copy(room + w::multicast_request::data, total);
  connection_.stage(static_cast<std::uint32_t>(w::multicast_request::data + total));
  auto sent = connection_.flush();
  return sent ? CS_OK : code_of(sent.error());
}

cs_error_t client::multicast_in_fragments(std::span<const iovec> pieces, std::size_t total) {
  if (total > UINT32_MAX) {
    return CS_ERR_TOO_BIG;
  }
  gather from(pieces);
  for (std::size_t at = 0; at < total;) {
    const std::size_t part = std::min<std::size_t>(atomic_max, total - at);
    const auto type = at == 0 ? w::fragment_type::first : at + part == total ? w::fragment_type::last : w::fragment_type::middle;
    request_text r{std::vector<std::byte>(w::partial_multicast_request::data + part), wire_response::partial_multicast,
                   w::response_header_bytes};
    cpg::put_fragment_header(r.bytes.data(), total, part, type);
    from.copy(r.bytes.data() + w::partial_multicast_request::data, part);
    cs_error_t said = CS_ERR_TRY_AGAIN;
    for (int attempt = 0; attempt < 100 && said == CS_ERR_TRY_AGAIN; ++attempt) {
      if (attempt != 0) {
        pause_for(milliseconds(10));
      }
      std::vector<std::byte> answer;
      if (const cs_error_t e = ask(r, answer); e != CS_OK) {
        return e;
      }
      said = error_in(answer);
    }
    if (said != CS_OK) {
      return said;
    }
    at += part;
  }
  return CS_OK;
}

void* client::take_buffer(std::size_t size) {
  std::vector<std::byte> bytes(std::max<std::size_t>(size, 1));
  void* const at = bytes.data();
  const std::lock_guard lock(requests_);
  buffers_.emplace(at, std::move(bytes));
  return at;
}

bool client::give_buffer(void* buffer) {
  const std::lock_guard lock(requests_);
  return buffers_.erase(buffer) == 1;
}

cs_error_t client::multicast_buffer(void* buffer, std::size_t size) {
  {
    const std::lock_guard lock(requests_);
    const auto found = buffers_.find(buffer);
    if (found == buffers_.end() || size > found->second.size()) {
      return CS_ERR_INVALID_PARAM;
    }
  }
  const iovec one[] = {{buffer, size}};
  return multicast(one);
}

// --- questions -----------------------------------------------------------------------------------------------------------------

cs_error_t client::membership(const cpg_name& group, cpg_address* list, int& entries) {
  if (group.length > CPG_MAX_NAME_LENGTH) {
    return CS_ERR_NAME_TOO_LONG;
  }
  std::vector<cpg_address> all;
  if (const cs_error_t e = members_of(group, all); e != CS_OK) {
    return e;
  }
  // Callers have room for CPG_MEMBERS_MAX: what they say of it is not looked at by stock libcpg, and often not set.
  const std::size_t most = settings_.unbounded_lists ? w::membership_response::members_max : CPG_MEMBERS_MAX;
  all.resize(std::min(all.size(), most));
  std::copy(all.begin(), all.end(), list);
  entries = static_cast<int>(all.size());
  return CS_OK;
}

/// By a walk over the group, in order: a stock service overruns its stack over the request that stock libcpg sends for it, in a group of
/// more than 384.
cs_error_t client::members_of(const cpg_name& group, std::vector<cpg_address>& all) {
  const auto until = deadline();
  std::uint64_t iteration = 0;
  if (const cs_error_t e = begin_iteration(CPG_ITERATION_ONE_GROUP, &group, iteration); e != CS_OK) {
    return e;
  }
  struct cancelled {  // or out of memory: it can't wait then
    client* self;
    std::uint64_t iteration;
    ~cancelled() {
      if (self != nullptr && self->requests_.try_lock()) {
        const std::lock_guard lock(self->requests_, std::adopt_lock);
        try {
          static_cast<void>(self->tell(end_of_iteration(iteration)));
        } catch (const std::bad_alloc&) {  // the service keeps it as long as the connection
        }
      }
    }
  } guard{this, iteration};
  cs_error_t said = CS_OK;
  while (said == CS_OK) {
    cpg_iteration_description_t one{};
    said = all.size() == rows_max ? CS_ERR_LIBRARY : over(until) ? CS_ERR_TIMEOUT : next_of_iteration(iteration, one);
    if (said == CS_OK) {
      all.push_back({one.nodeid, one.pid, CPG_REASON_UNDEFINED});
    }
  }
  {
    const std::lock_guard lock(requests_);
    guard.self = nullptr;
    if (!finalized()) {
      static_cast<void>(tell(end_of_iteration(iteration)));  // without waiting: the deadline may have passed
    }
  }
  if (said != CS_ERR_NO_SECTIONS) {
    return said;
  }
  std::sort(all.begin(), all.end(),
            [](const cpg_address& a, const cpg_address& b) { return std::tie(a.nodeid, a.pid) < std::tie(b.nodeid, b.pid); });
  return CS_OK;
}

cs_error_t client::local_node(unsigned int& node) {
  namespace r = w::local_get_response;
  const request_text ask_for{cpg::make_request(wire_request::local_get, w::local_get_request::bytes), wire_response::local_get, r::bytes};
  std::vector<std::byte> answer;
  if (const cs_error_t e = answer_to(ask_for, answer); e != CS_OK) {
    return e;
  }
  node = base::read_once_u32(answer.data() + r::node);
  return CS_OK;
}

cs_error_t client::begin_iteration(int type, const cpg_name* group, std::uint64_t& iteration) {
  namespace q = w::iteration_initialize_request;
  namespace r = w::iteration_initialize_response;
  request_text ask_for{cpg::make_request(wire_request::iteration_initialize, q::bytes), wire_response::iteration_initialize, r::bytes};
  if (group != nullptr) {
    if (group->length > CPG_MAX_NAME_LENGTH) {
      return CS_ERR_NAME_TOO_LONG;
    }
    cpg::put_name(ask_for.bytes.data() + q::name, text_of(*group));
  }
  cpg::put(ask_for.bytes.data() + q::type, static_cast<std::uint32_t>(type));
  std::vector<std::byte> answer;
  if (const cs_error_t e = answer_to(ask_for, answer); e != CS_OK) {
    return e;
  }
  iteration = base::read_once_u64(answer.data() + r::handle);
  return CS_OK;
}

cs_error_t client::next_of_iteration(std::uint64_t iteration, cpg_iteration_description_t& out) {
  namespace r = w::iteration_next_response;
  request_text ask_for{cpg::make_request(wire_request::iteration_next, w::iteration_next_request::bytes), wire_response::iteration_next,
                       r::bytes};
  cpg::put(ask_for.bytes.data() + w::iteration_next_request::handle, iteration);
  std::vector<std::byte> answer;
  if (const cs_error_t e = answer_to(ask_for, answer); e != CS_OK) {
    return e;
  }
  const std::byte* name = answer.data() + r::name;
  out.group.length = std::min<std::uint32_t>(base::read_once_u32(name + w::name_length), CPG_MAX_NAME_LENGTH);
  std::memcpy(out.group.value, name + w::name_text, sizeof out.group.value);
  out.nodeid = base::read_once_u32(answer.data() + r::node);
  out.pid = base::read_once_u32(answer.data() + r::pid);
  return CS_OK;
}

client::request_text client::end_of_iteration(std::uint64_t iteration) {
  request_text text{cpg::make_request(wire_request::iteration_finalize, w::iteration_finalize_request::bytes),
                    wire_response::iteration_finalize, w::response_header_bytes};
  cpg::put(text.bytes.data() + w::iteration_finalize_request::handle, iteration);
  return text;
}

cs_error_t client::end_iteration(std::uint64_t iteration) {
  std::vector<std::byte> answer;
  return answer_to(end_of_iteration(iteration), answer);
}

// --- the end -------------------------------------------------------------------------------------------------------------------

cs_error_t client::finalize() {
  const request_text ask_for{cpg::make_request(wire_request::finalize, w::finalize_request::bytes), wire_response::finalize,
                             w::response_header_bytes};
  struct last_steps {  // of a thread that is cancelled too
    client& self;
    ~last_steps() {
      self.finalized_.store(true, std::memory_order_relaxed);
      self.connection_.abandon_files();
      self.connection_.hang_up();  // wakes whoever waits in dispatch(), and the service counts this member out at once
    }
  } const guard{*this};
  std::vector<std::byte> answer;
  const std::lock_guard lock(requests_);
  // Answered: everything that was multicast before has been taken.
  const cs_error_t outcome = ask(ask_for, answer);
  finalized_.store(true, std::memory_order_relaxed);
  return outcome == CS_OK ? error_in(answer) : outcome;
}

}  // namespace cpgring::compat
