// Station C7 of 11: from cpg/request_line, to ipc/ring_writer.
//
// One libqb connection, a socket and three rings, from the end of the handshake to its end.
//
// - Move-only. The rings keep their addresses, so references to events() and answers() survive a move.
// - One thread, except for what other layers wait on (semaphore words, the socket).
// - A connection ends with a hang-up. Requests that the service has not taken are lost then; to be sure that
//   they arrive, wait for the answer of a last request (FINALIZE).
// - The service removes the files when it sees the hang-up. If the service died,
//   remove_files_of_dead_service() removes them.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>

#include <cpgring/result.hpp>

#include "base/closed_in_child.hpp"
#include "base/owned.hpp"
#include "ipc/doorbell.hpp"
#include "ipc/doorbell_debt.hpp"
#include "ipc/flow_control.hpp"
#include "ipc/response_reader.hpp"
#include "ipc/ring_directory.hpp"
#include "ipc/ring_reader.hpp"
#include "ipc/ring_writer.hpp"
#include "ipc/shared_ring.hpp"

namespace cpgring::ipc {

/// Results of the handshake.
struct connection_facts {
  std::string directory;                 // of the rings' files
  std::string request, response, event;  // names in it, without "-header" and "-data"
  std::uint32_t max_message_size = 0;
  pid_t service_pid = 0;  // 0: not visible here (another pid namespace)
  uid_t service_uid = 0;
};

class connection {
 public:
  /// Maps the rings; closes the socket if that fails. Errors: see ring_directory and shared_ring.
  static result<connection> open(base::unique_fd socket, const connection_facts& facts, bool prefault);

  [[nodiscard]] int fd() const noexcept { return socket_.get(); }
  [[nodiscard]] ring_reader& events() noexcept { return parts_->events; }
  [[nodiscard]] const ring_reader& events() const noexcept { return parts_->events; }
  [[nodiscard]] ring_reader& responses() noexcept { return parts_->responses; }
  [[nodiscard]] const ring_reader& responses() const noexcept { return parts_->responses; }
  [[nodiscard]] response_reader& answers() noexcept { return parts_->answers; }

  /// Whether a request may be written now. A service that broke the request ring counts as hung_up, and
  /// fault() names the field.
  [[nodiscard]] enum writable writable() noexcept;
  /// See ring_writer. `bytes` is at most request_bytes_max().
  [[nodiscard]] std::byte* reserve(std::uint32_t bytes) noexcept { return parts_->requests.reserve(bytes); }
  void stage(std::uint32_t bytes) noexcept { parts_->requests.stage(bytes); }
  void abandon() noexcept { parts_->requests.abandon(); }
  [[nodiscard]] std::uint32_t staged() const noexcept { return parts_->requests.staged(); }
  [[nodiscard]] std::uint32_t request_bytes_max() const noexcept { return parts_->requests.bytes_max(); }
  /// Publishes the staged requests and sends their doorbells with one call. If the socket does not take
  /// doorbells that are still owed, the staged requests stay staged; must_flush() is then true, and flush()
  /// must be called again. Errors: service_lost, malformed.
  result<void> flush() noexcept;
  [[nodiscard]] bool must_flush() const noexcept {
    return parts_->requests.staged() != 0 || parts_->bell.owed() != 0;
  }
  /// Reads the socket until it is empty if too many doorbell bytes are unread; see doorbell_debt.hpp. Call it
  /// after events were taken if nothing else reads a byte for each. Otherwise it costs a comparison. Does not
  /// report a hang-up.
  void read_doorbells_if_due() noexcept {
    if (parts_->debt.due(parts_->events.taken())) [[unlikely]] {
      read_doorbells();
    }
  }
  /// Bytes that are unread or owed. Negative while bytes were read for events that still wait in the ring.
  [[nodiscard]] std::int64_t unread_doorbells() const noexcept {
    return parts_->debt.debt(parts_->events.taken());
  }
  /// Other readers of the socket add the number of bytes that they read to this counter.
  [[nodiscard]] std::uint64_t& doorbells_read() noexcept { return parts_->debt.bytes_read(); }
  /// The fault of the request ring, if any.
  [[nodiscard]] result<void> fault() const;

  /// Asks the socket whether the other side is gone.
  [[nodiscard]] bool hung_up() const noexcept;
  /// Shuts the socket down, so the service sees a hang-up even if other references keep the socket open: a
  /// dying io_uring does so for some milliseconds.
  void hang_up() noexcept;
  /// After a hang-up by the service: removes the files that a dead service left in /dev/shm; see
  /// ring_directory::remove_opened(). A live service removes them itself. Does nothing before a hang-up.
  void remove_files_of_dead_service() noexcept;

  [[nodiscard]] pid_t service_pid() const noexcept { return service_pid_; }
  [[nodiscard]] std::uint32_t max_message_size() const noexcept { return max_message_size_; }
  [[nodiscard]] std::size_t shm_bytes() const noexcept {
    return parts_->request_ring.shm_bytes() + parts_->response_ring.shm_bytes() +
           parts_->event_ring.shm_bytes();
  }

 private:
  void read_doorbells() noexcept;
  struct parts {  // allocated, so that the rings keep their addresses when a connection is moved
    parts(shared_ring request, shared_ring response, shared_ring event) noexcept
        : request_ring(std::move(request)),
          response_ring(std::move(response)),
          event_ring(std::move(event)),
          requests(request_ring, "request ring"),
          responses(response_ring, "response ring"),
          events(event_ring, "event ring"),
          answers(responses),
          debt(events.capacity_bytes()) {}
    shared_ring request_ring, response_ring, event_ring;
    ring_writer requests;
    ring_reader responses, events;
    response_reader answers;
    doorbell bell;
    doorbell_debt debt;
    std::uint32_t outstanding_limit = 1;
    bool refused_before = false;
  };
  connection(base::unique_fd socket, ring_directory files, const connection_facts& facts,
             std::unique_ptr<parts> made)
      : parts_(std::move(made)),
        socket_(std::move(socket)),
        files_(std::move(files)),
        max_message_size_(facts.max_message_size),
        service_pid_(facts.service_pid) {}

  std::unique_ptr<parts> parts_;
  base::unique_fd socket_;  // destroyed before the rings: the service sees the hang-up first
  base::closed_in_child socket_in_child_{socket_.get()};
  ring_directory files_;
  std::uint32_t max_message_size_;
  pid_t service_pid_;
};

}  // namespace cpgring::ipc
