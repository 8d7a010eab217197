#include "support/hostile_service.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <future>
#include <optional>

#include "base/checked_read.hpp"
#include "base/put.hpp"
#include "ipc/ring_reader.hpp"
#include "ipc/ring_writer.hpp"
#include "unit/ipc/fake_service.hpp"
#include "unit/ipc/raw_ring.hpp"

namespace cpgring::test {

namespace wire = cpg::wire;
namespace cf = ipc::chunk_format;
using base::put;

namespace {

constexpr std::uint32_t node = 1;

std::vector<std::byte> event_of(wire::event id, std::size_t size, std::string_view group) {
  std::vector<std::byte> all(size);
  put(all.data() + wire::header_id, static_cast<std::int32_t>(id));
  put(all.data() + wire::header_size, static_cast<std::int32_t>(size));
  put(all.data() + wire::header_error, wire::status::ok);
  if (!group.empty()) {
    put(all.data() + wire::event_group + wire::name_length, static_cast<std::uint32_t>(group.size()));
    std::memcpy(all.data() + wire::event_group + wire::name_text, group.data(), group.size());
  }
  return all;
}

std::uint32_t u32(std::span<const std::byte> from, std::size_t at) {
  return base::read_once_u32(from.data() + at);
}

std::string name_in(std::span<const std::byte> request, std::size_t at) {
  return {reinterpret_cast<const char*>(request.data()) + at + wire::name_text,
          u32(request, at + wire::name_length)};
}

std::string text_in(std::span<const std::byte> request, std::size_t at) {
  return {reinterpret_cast<const char*>(request.data()) + at, request.size() - at};
}

void must(bool holds, const char* what) {
  if (!holds) {
    std::perror(what);
    std::abort();
  }
}

std::string fresh_directory() {
  std::string path = "/dev/shm/qb-" + ipc::test::fresh_name("hostile");
  must(::mkdir(path.c_str(), 0770) == 0, "mkdir");
  return path;
}

}  // namespace

std::vector<std::byte> message_event(std::string_view group, std::uint32_t pid, std::string_view payload) {
  namespace w = wire::deliver_event;
  auto all = event_of(wire::event::deliver, w::data + payload.size(), group);
  put(all.data() + w::length, static_cast<std::uint32_t>(payload.size()));
  put(all.data() + w::node, node);
  put(all.data() + w::pid, pid);
  std::copy_n(reinterpret_cast<const std::byte*>(payload.data()), payload.size(), all.data() + w::data);
  return all;
}

std::vector<std::byte> fragment_event(std::string_view group, std::uint32_t pid, std::uint32_t total,
                                      wire::fragment_type type, std::string_view payload) {
  namespace w = wire::partial_deliver_event;
  auto all = event_of(wire::event::partial_deliver, w::data + payload.size(), group);
  put(all.data() + w::total, total);
  put(all.data() + w::length, static_cast<std::uint32_t>(payload.size()));
  put(all.data() + w::node, node);
  put(all.data() + w::pid, pid);
  put(all.data() + w::type, static_cast<std::uint32_t>(type));
  std::copy_n(reinterpret_cast<const std::byte*>(payload.data()), payload.size(), all.data() + w::data);
  return all;
}

std::vector<std::byte> view_event(std::string_view group, std::uint32_t pid, bool joins) {
  namespace w = wire::configuration_event;
  const std::size_t entries = joins ? 2 : 1;
  auto all = event_of(wire::event::configuration, w::lists + entries * wire::address_bytes, group);
  put(all.data() + (joins ? w::members : w::left), std::uint32_t{1});
  put(all.data() + w::joined, std::uint32_t{joins ? 1U : 0U});
  for (std::size_t i = 0; i < entries; ++i) {
    std::byte* const at = all.data() + w::lists + i * wire::address_bytes;
    put(at + wire::address_node, node);
    put(at + wire::address_pid, pid);
    put(at + wire::address_reason,
        static_cast<std::uint32_t>(joins ? wire::reason::join : wire::reason::leave));
  }
  return all;
}

std::vector<std::byte> answer_of(wire::response id, std::size_t size, std::int32_t error) {
  std::vector<std::byte> all(size);
  put(all.data() + wire::header_id, static_cast<std::int32_t>(id));
  put(all.data() + wire::header_size, static_cast<std::int32_t>(size));
  put(all.data() + wire::header_error, error);
  return all;
}

/// The service's end of a socket and three rings.
class hostile_service::connection final : public hostile_service::client {
 public:
  connection(base::unique_fd socket, std::uint32_t ring_bytes)
      : socket_(std::move(socket)), data_bytes_((ring_bytes + cf::data_slack + 4095) / 4096 * 4096) {
    ipc::test::fake_answer answer;
    answer.put(ipc::test::fake_answer::max_message_size, ring_bytes);
    for (std::size_t i = 0; i < files_.size(); ++i) {
      answer.name(ipc::test::fake_answer::names[i], files_[i].base());
    }
    must(
        ::send(socket_.get(), answer.text().data(), answer.text().size(), MSG_NOSIGNAL) > 0 || errno == EPIPE,
        "send");
  }
  ~connection() override {
    socket_.reset();
    rings_.reset();
    files_.reset();
    ::rmdir(directory_.c_str());
  }

  void answer(bytes whole) override { write(rings_->responses, whole); }
  void send(bytes event) override {
    write(rings_->events, event);
    ++owed_;
    ring();
  }
  void hang_up() override { gone_ = true; }

  [[nodiscard]] bool gone() const noexcept { return gone_; }
  [[nodiscard]] pollfd wanted() const noexcept {
    return {socket_.get(), static_cast<short>(POLLIN | (owed_ != 0 ? POLLOUT : 0)), 0};
  }
  /// Calls `each` for every request that has arrived.
  template <class Each>
  void take(Each&& each) {
    ring();
    std::array<char, 4096> doorbells;
    const auto got = ::recv(socket_.get(), doorbells.data(), doorbells.size(), MSG_DONTWAIT);
    gone_ = gone_ || got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
    auto& requests = rings_->requests;
    while (!gone_ && (requests.ready() != 0 || requests.collect() != 0)) {
      ipc::frame one;
      if (requests.next(one) != ipc::read_result::frame) {
        gone_ = true;
        return;
      }
      each(bytes(one.data, one.size));
      requests.reclaim(1);
    }
  }

 private:
  /// The ring files, created before they are mapped.
  struct three_files {
    three_files(const std::string& directory, std::size_t bytes)
        : all{std::make_unique<ipc::test::raw_ring>(bytes, 8252, directory + "/qb-request-cpg"),
              std::make_unique<ipc::test::raw_ring>(bytes, 8252, directory + "/qb-response-cpg"),
              std::make_unique<ipc::test::raw_ring>(bytes, 8252, directory + "/qb-event-cpg")} {
      for (const auto& one : all) {
        one->set(cf::reference_count, 0);  // open() counts this process's mapping
      }
    }
    [[nodiscard]] std::size_t size() const { return all.size(); }
    ipc::test::raw_ring& operator[](std::size_t i) { return *all[i]; }
    void reset() {
      for (auto& one : all) {
        one.reset();
      }
    }
    std::array<std::unique_ptr<ipc::test::raw_ring>, 3> all;
  };
  struct three_rings {
    explicit three_rings(three_files& files)
        : request(open(files[0])),
          response(open(files[1])),
          event(open(files[2])),
          requests(request),
          responses(response),
          events(event) {}
    static ipc::shared_ring open(const ipc::test::raw_ring& files) {
      auto ring = ipc::test::open_ring(files.base(), files.max_message_size(), false);
      must(ring.has_value(), "open_ring");
      return std::move(*ring);
    }
    ipc::shared_ring request, response, event;
    ipc::ring_reader requests;
    ipc::ring_writer responses, events;
  };

  void write(ipc::ring_writer& to, bytes whole) {
    std::byte* room = nullptr;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while ((room = to.reserve(static_cast<std::uint32_t>(whole.size()))) == nullptr) {
      char byte = 0;
      if (to.broken() || std::chrono::steady_clock::now() > end ||
          ::recv(socket_.get(), &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0) {
        gone_ = true;
        return;
      }
      ::usleep(50);
    }
    std::memcpy(room, whole.data(), whole.size());
    to.stage(static_cast<std::uint32_t>(whole.size()));
    to.publish();
  }
  void ring() {
    while (owed_ != 0 && ::send(socket_.get(), "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1) {
      --owed_;
    }
  }

  base::unique_fd socket_;
  const std::size_t data_bytes_;
  const std::string directory_ = fresh_directory();
  three_files files_{directory_, data_bytes_};
  std::optional<three_rings> rings_{files_};
  std::size_t owed_ = 0;
  bool gone_ = false;
};

hostile_service::hostile_service(meddler meddle, std::string name)
    : meddle_(std::move(meddle)),
      name_(name.empty() ? ipc::test::fresh_name("hostile") : std::move(name)),
      listener_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, name_.data(), name_.size());
  must(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0, "bind");
  must(::listen(listener_.get(), 128) == 0, "listen");
  thread_ = std::thread([this] { run(); });
}

hostile_service::~hostile_service() {
  stop_.store(true, std::memory_order_relaxed);
  must(::eventfd_write(wake_.get(), 1) == 0, "eventfd_write");
  thread_.join();
}

std::vector<wire::request> hostile_service::requests() const {
  const std::lock_guard lock(lock_);
  return requests_;
}

std::size_t hostile_service::asked(wire::request id) const {
  const auto all = requests();
  return static_cast<std::size_t>(std::count(all.begin(), all.end(), id));
}

std::size_t hostile_service::with(std::string_view group, const std::function<void(client&)>& what) {
  std::promise<std::size_t> done;
  call([&] { done.set_value(each_in(group, what)); });
  return done.get_future().get();
}

void hostile_service::post(std::string_view group, std::function<void(client&)> what) {
  call([this, group = std::string(group), what = std::move(what)] { each_in(group, what); });
}

void hostile_service::call(std::function<void()> what) {
  {
    const std::lock_guard lock(lock_);
    calls_.push_back(std::move(what));
  }
  must(::eventfd_write(wake_.get(), 1) == 0, "eventfd_write");
}

std::size_t hostile_service::each_in(std::string_view group, const std::function<void(client&)>& what) {
  std::size_t count = 0;
  for (const auto& one : clients_) {
    if (one->group == group) {
      what(*one);
      ++count;
    }
  }
  return count;
}

void hostile_service::run() {
  while (!stop_.load(std::memory_order_relaxed)) {
    turn();
  }
  clients_.clear();
}

void hostile_service::turn() {
  std::vector<pollfd> all{{listener_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
  for (const auto& one : clients_) {
    all.push_back(one->wanted());
  }
  ::poll(all.data(), all.size(), -1);
  for (std::size_t i = 2; i < all.size(); ++i) {
    connection& from = *clients_[i - 2];
    if (all[i].revents != 0) {
      from.take([&](bytes request) {
        const auto id = static_cast<wire::request>(base::read_once_i32(request.data() + wire::header_id));
        {
          const std::lock_guard lock(lock_);
          requests_.push_back(id);
        }
        if (!meddle_ || !meddle_(from, id, request)) {
          serve(from, id, request);
        }
      });
    }
  }
  std::erase_if(clients_, [](const auto& one) { return one->gone(); });
  if ((all[0].revents & POLLIN) != 0) {
    accept();
  }
  if ((all[1].revents & POLLIN) != 0) {
    eventfd_t count = 0;
    ::eventfd_read(wake_.get(), &count);
    std::vector<std::function<void()>> calls;
    {
      const std::lock_guard lock(lock_);
      calls.swap(calls_);
    }
    for (const auto& one : calls) {
      one();
    }
  }
}

void hostile_service::accept() {
  base::unique_fd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  connects_.fetch_add(socket ? 1 : 0, std::memory_order_relaxed);
  std::array<std::byte, 24> request;
  if (socket && ::recv(socket.get(), request.data(), request.size(), MSG_WAITALL) ==
                    static_cast<ssize_t>(request.size())) {
    clients_.push_back(std::make_unique<connection>(std::move(socket), u32(request, 16)));
  }
}

void hostile_service::serve(client& from, wire::request id, bytes request) {
  switch (id) {
    case wire::request::join:
      from.group = name_in(request, wire::join_request::name);
      from.pid = u32(request, wire::join_request::pid);
      from.answer(answer_of(wire::response::join, wire::response_header_bytes));
      from.send(view_event(from.group, from.pid));
      if ((u32(request, wire::join_request::flags) & wire::join_request::flag_initial_totem_configuration) !=
          0) {
        namespace w = wire::totem_configuration_event;
        auto ring = event_of(wire::event::totem_configuration, w::fixed_bytes + 4, {});
        put(ring.data() + w::ring_node, node);
        put(ring.data() + w::count, std::uint32_t{1});
        put(ring.data() + w::members, node);
        from.send(ring);
      }
      return;
    case wire::request::leave:
      from.answer(answer_of(wire::response::leave, wire::response_header_bytes));
      from.send(view_event(from.group, from.pid, false));
      return;
    case wire::request::multicast:
      from.send(message_event(from.group, from.pid, text_in(request, wire::multicast_request::data)));
      return;
    case wire::request::partial_multicast: {
      namespace w = wire::partial_multicast_request;
      from.answer(answer_of(wire::response::partial_multicast, wire::response_header_bytes));
      from.send(fragment_event(from.group, from.pid, u32(request, w::total),
                               static_cast<wire::fragment_type>(u32(request, w::type)),
                               text_in(request, w::data)));
      return;
    }
    case wire::request::local_get: {
      auto answer = answer_of(wire::response::local_get, wire::local_get_response::bytes);
      put(answer.data() + wire::local_get_response::node, node);
      from.answer(answer);
      return;
    }
    case wire::request::iteration_initialize: begin_iteration(from, request); return;
    case wire::request::iteration_next: next_of_iteration(from, request); return;
    case wire::request::iteration_finalize: end_iteration(from, request); return;
    case wire::request::finalize:
      from.answer(answer_of(wire::response::finalize, wire::response_header_bytes));
      return;
    default:
      from.answer(answer_of(wire::response{}, wire::response_header_bytes, wire::status::invalid_param));
      return;
  }
}

void hostile_service::begin_iteration(client& from, bytes request) {
  namespace w = wire::iteration_initialize_request;
  std::vector<row> rows = rows_;
  if (u32(request, w::type) == w::one_group) {
    std::erase_if(rows, [group = name_in(request, w::name)](const row& one) { return one.group != group; });
  }
  walks_.emplace_back(std::move(rows), 0);
  const auto open = iterations_.fetch_add(1, std::memory_order_relaxed) + 1;
  iterations_most_.store(std::max(iterations_most(), open), std::memory_order_relaxed);
  auto answer = answer_of(wire::response::iteration_initialize, wire::iteration_initialize_response::bytes);
  put(answer.data() + wire::iteration_initialize_response::handle, std::uint64_t{walks_.size()});
  from.answer(answer);
}

void hostile_service::next_of_iteration(client& from, bytes request) {
  namespace w = wire::iteration_next_response;
  auto& [rows, at] =
      walks_.at(base::read_once_u64(request.data() + wire::iteration_next_request::handle) - 1);
  auto answer = answer_of(wire::response::iteration_next, w::bytes,
                          at < rows.size() ? wire::status::ok : wire::status::no_sections);
  if (at < rows.size()) {
    const row& one = rows[at++];
    put(answer.data() + w::name, static_cast<std::uint32_t>(one.group.size()));
    std::memcpy(answer.data() + w::name + wire::name_text, one.group.data(), one.group.size());
    put(answer.data() + w::node, one.node);
    put(answer.data() + w::pid, one.pid);
  }
  from.answer(answer);
}

void hostile_service::end_iteration(client& from, bytes) {
  iterations_.fetch_sub(1, std::memory_order_relaxed);
  from.answer(answer_of(wire::response::iteration_finalize, wire::response_header_bytes));
}

}  // namespace cpgring::test
