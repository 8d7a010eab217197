// The service's side of one connection, in the test's own process and thread: three rings in a fresh
// directory below /dev/shm and a socketpair. The test reads requests and writes answers and events itself,
// one by one.
//
// The service performs no step by itself and never waits, so a test with it needs no clock. Its destructor
// removes the files.
#pragma once

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/checked_read.hpp"
#include "base/owned.hpp"
#include "cpg/wire_format.hpp"
#include "ipc/connection.hpp"
#include "ipc/ring_reader.hpp"
#include "ipc/ring_writer.hpp"
#include "unit/ipc/fake_service.hpp"
#include "unit/ipc/raw_ring.hpp"

namespace cpgring::test {

/// A request as the service finds it in the ring.
struct received_request {
  std::vector<std::byte> bytes;

  [[nodiscard]] std::uint32_t u32(std::size_t at) const { return base::read_once_u32(bytes.data() + at); }
  [[nodiscard]] std::uint64_t u64(std::size_t at) const { return base::read_once_u64(bytes.data() + at); }
  [[nodiscard]] cpg::wire::request id() const {
    return static_cast<cpg::wire::request>(u32(cpg::wire::header_id));
  }
  /// The bytes from `at` on, as characters.
  [[nodiscard]] std::string text(std::size_t at) const {
    return {reinterpret_cast<const char*>(bytes.data()) + at, bytes.size() - at};
  }
  /// The group name at `at`.
  [[nodiscard]] std::string name(std::size_t at) const {
    return text(at + cpg::wire::name_text).substr(0, u32(at + cpg::wire::name_length));
  }
  /// The payload of a multicast or of a fragment.
  [[nodiscard]] std::string payload() const {
    return text(id() == cpg::wire::request::multicast ? cpg::wire::multicast_request::data
                                                      : cpg::wire::partial_multicast_request::data);
  }
};

class in_process_service {
 public:
  enum class ring { request, response, event };
  static constexpr std::uint32_t default_ring_bytes = 16384;

  /// `ring_bytes`: the largest message that each ring takes.
  explicit in_process_service(std::uint32_t ring_bytes = default_ring_bytes) : ring_bytes_(ring_bytes) {
    std::array<int, 2> ends{};
    must(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) == 0,
         "socketpair");
    socket_.reset(ends[0]);
    clients_end_.reset(ends[1]);
  }
  /// For a client that has connected to a listener: `socket` is the service's end, and the client opens the
  /// rings that answer_handshake() names.
  in_process_service(base::unique_fd socket, std::uint32_t ring_bytes)
      : ring_bytes_(ring_bytes), socket_(std::move(socket)) {}
  in_process_service(const in_process_service&) = delete;
  in_process_service& operator=(const in_process_service&) = delete;
  ~in_process_service() {
    rings_.reset();
    for (auto& one : files_) {
      one.reset();
    }
    ::rmdir(directory_.c_str());
  }

  /// Opens the client's end; callable once.
  ipc::connection connect() {
    ipc::connection_facts facts;
    facts.directory = directory_;
    facts.request = file_names[0];
    facts.response = file_names[1];
    facts.event = file_names[2];
    facts.max_message_size = ring_bytes_;
    facts.service_pid = ::getpid();
    facts.service_uid = ::geteuid();
    auto made = ipc::connection::open(std::move(clients_end_), facts, false);
    must(made.has_value(), "connection::open");
    return std::move(*made);
  }
  std::unique_ptr<ipc::connection> connect_owned() { return std::make_unique<ipc::connection>(connect()); }

  /// Sends the answer to the handshake of the client that has connected.
  void answer_handshake() {
    ipc::test::fake_answer answer;
    answer.put(ipc::test::fake_answer::max_message_size, ring_bytes_);
    for (std::size_t i = 0; i < file_names.size(); ++i) {
      answer.name(ipc::test::fake_answer::names[i], directory_ + '/' + file_names[i]);
    }
    const auto text = answer.text();
    must(::send(socket_.get(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL) ==
             static_cast<ssize_t>(text.size()),
         "send");
  }

  // --- requests
  /// The number of published requests that were not taken yet.
  [[nodiscard]] std::uint32_t requests_waiting() {
    return rings_->requests.ready() + rings_->requests.waiting();
  }
  /// Takes the oldest request and reclaims its chunk.
  std::optional<received_request> take_request() {
    auto& from = rings_->requests;
    if (from.ready() == 0 && from.collect() == 0) {
      return std::nullopt;
    }
    ipc::frame one;
    must(from.next(one) == ipc::read_result::frame, "a chunk of the request ring");
    received_request found{{one.data, one.data + one.size}};
    from.reclaim(1);
    return found;
  }
  std::vector<received_request> take_requests() {
    std::vector<received_request> all;
    while (auto one = take_request()) {
      all.push_back(std::move(*one));
    }
    return all;
  }
  /// Empties the socket. Returns the number of doorbell bytes sent by the client since the last call.
  std::size_t take_doorbells() { return receive().first; }
  /// True once the client has closed its end, or shut it down, or this side has hung up.
  bool client_gone() { return !socket_ || receive().second; }

  // --- answers and events
  /// Writes an answer into the response ring.
  void answer(std::span<const std::byte> whole) { write(rings_->responses, whole); }
  /// Writes an event into the event ring and sends its doorbell byte.
  void send_event(std::span<const std::byte> whole) {
    write(rings_->events, whole);
    must(::send(socket_.get(), "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1, "send");
  }
  /// 0: the client may send requests; else it must wait.
  void set_flow_control(std::uint32_t word) { files_[0]->set(ipc::chunk_format::user_word, word); }
  /// Ends like a service in an orderly shutdown: releases the rings and closes the socket.
  void hang_up() {
    for (auto& one : files_) {
      one->set(ipc::chunk_format::reference_count, 1);
    }
    socket_.reset();
  }
  /// Ends as a killed process does: nothing in its rings says so.
  void be_killed() { socket_.reset(); }
  /// Makes the semaphore of that ring count more chunks than the ring can hold.
  void break_ring(ring which) {
    auto& files = *files_[static_cast<std::size_t>(which)];
    files.post(files.words());
  }

 private:
  static constexpr std::array<const char*, 3> file_names{"qb-request-cpg", "qb-response-cpg", "qb-event-cpg"};
  using raw_ring = ipc::test::raw_ring;

  static void must(bool holds, const char* what) {
    if (!holds) {
      std::perror(what);
      std::abort();
    }
  }
  static std::string fresh_directory() {
    std::string path = "/dev/shm/qb-" + ipc::test::fresh_name("in-process");
    must(::mkdir(path.c_str(), 0770) == 0, "mkdir");
    return path;
  }
  static std::unique_ptr<raw_ring> make_files(const std::string& directory, std::size_t which,
                                              std::uint32_t ring_bytes) {
    const std::size_t data_bytes =
        (std::size_t{ring_bytes} + ipc::chunk_format::data_slack + 4095) / 4096 * 4096;
    auto made = std::make_unique<raw_ring>(data_bytes, 8252, directory + '/' + file_names[which]);
    made->set(ipc::chunk_format::reference_count, 0);  // open() counts this process's mapping
    return made;
  }
  static ipc::shared_ring open(const raw_ring& files) {
    auto opened = ipc::test::open_ring(files.base(), files.max_message_size(), false);
    must(opened.has_value(), "open_ring");
    return std::move(*opened);
  }
  struct three_rings {
    explicit three_rings(const std::array<std::unique_ptr<raw_ring>, 3>& files)
        : request(open(*files[0])),
          response(open(*files[1])),
          event(open(*files[2])),
          requests(request),
          responses(response),
          events(event) {}
    ipc::shared_ring request, response, event;
    ipc::ring_reader requests;
    ipc::ring_writer responses, events;
  };

  static void write(ipc::ring_writer& to, std::span<const std::byte> whole) {
    std::byte* const room = to.reserve(static_cast<std::uint32_t>(whole.size()));
    must(room != nullptr, "no room in the ring");
    std::memcpy(room, whole.data(), whole.size());
    to.stage(static_cast<std::uint32_t>(whole.size()));
    to.publish();
  }
  std::pair<std::size_t, bool> receive() {
    std::array<char, 4096> bytes{};
    std::size_t total = 0;
    for (;;) {
      const auto got = ::recv(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
      if (got <= 0) {
        return {total, got == 0 || errno == ECONNRESET};
      }
      total += static_cast<std::size_t>(got);
    }
  }

  const std::uint32_t ring_bytes_;
  base::unique_fd socket_, clients_end_;
  const std::string directory_ = fresh_directory();
  std::array<std::unique_ptr<raw_ring>, 3> files_{make_files(directory_, 0, ring_bytes_),
                                                  make_files(directory_, 1, ring_bytes_),
                                                  make_files(directory_, 2, ring_bytes_)};
  std::optional<three_rings> rings_{std::in_place, files_};
};

}  // namespace cpgring::test
