// One libqb connection: a socket and three rings, from the end of the handshake to the end.
//
// Move-only; the rings' addresses stay the same, so references to events() and answers() outlive a move. One thread, but for what other
// layers wait on (semaphore words, the socket). Its end is a hang-up: requests that the service has not taken are lost then, so whoever
// wants them to arrive waits for an answer first (FINALIZE). The service removes the files when it sees the hang-up; only one that died
// leaves them to abandon_files().
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>

#include <cpgring/error.hpp>

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

/// What the handshake found out.
struct connection_facts {
  std::string directory;                 // of the rings' files
  std::string request, response, event;  // their names there, without "-header" and "-data"
  std::uint32_t max_message_size = 0;
  pid_t service_pid = 0;  // 0: not known here (another pid namespace)
  uid_t service_uid = 0;
};

class connection {
 public:
  /// Maps the rings. The socket is hung up when that fails. Errors: see ring_directory and shared_ring.
  static result<connection> open(base::unique_fd socket, const connection_facts& facts, bool prefault);

  [[nodiscard]] int fd() const noexcept { return socket_.get(); }
  [[nodiscard]] ring_reader& events() noexcept { return parts_->events; }
  [[nodiscard]] const ring_reader& events() const noexcept { return parts_->events; }
  [[nodiscard]] ring_reader& responses() noexcept { return parts_->responses; }
  [[nodiscard]] const ring_reader& responses() const noexcept { return parts_->responses; }
  [[nodiscard]] response_reader& answers() noexcept { return parts_->answers; }

  /// May a request be written now? A service that broke the request ring reads as hung_up, and fault() names the field.
  [[nodiscard]] enum writable writable() noexcept;
  /// See ring_writer. `bytes` at most request_bytes_max().
  [[nodiscard]] std::byte* reserve(std::uint32_t bytes) noexcept { return parts_->requests.reserve(bytes); }
  void stage(std::uint32_t bytes) noexcept { parts_->requests.stage(bytes); }
  void abandon() noexcept { parts_->requests.abandon(); }
  [[nodiscard]] std::uint32_t staged() const noexcept { return parts_->requests.staged(); }
  [[nodiscard]] std::uint32_t request_bytes_max() const noexcept { return parts_->requests.bytes_max(); }
  /// Publishes what is staged and rings once for all of it. Where doorbells of before are owed and still not taken by the socket, what is
  /// staged stays so: then, as must_flush() says, it is to be called again. Errors: service_lost, malformed.
  result<void> flush() noexcept;
  [[nodiscard]] bool must_flush() const noexcept { return parts_->requests.staged() != 0 || parts_->bell.owed() != 0; }
  /// Reads the socket empty once too many doorbell bytes are unread; see doorbell_debt.hpp. To be called after events were taken, by
  /// whoever does not read a byte for each. Costs a comparison otherwise. Does not tell of a hang-up: the socket does, to whoever waits on
  /// it.
  void read_doorbells_if_due() noexcept {
    if (parts_->debt.due(parts_->events.taken())) [[unlikely]] {
      read_doorbells();
    }
  }
  /// Bytes that are unread or owed; below 0 while bytes were read for events that still wait in the ring.
  [[nodiscard]] std::int64_t unread_doorbells() const noexcept { return parts_->debt.debt(parts_->events.taken()); }
  /// Where others that read the socket add the bytes that they read.
  [[nodiscard]] std::uint64_t& doorbells_read() noexcept { return parts_->debt.bytes_read(); }
  /// What is wrong with the request ring, if anything is.
  [[nodiscard]] result<void> fault() const;

  /// Looks at the socket: the other side is gone.
  [[nodiscard]] bool hung_up() const noexcept;
  /// Tells the service that we are gone, whoever else still holds the socket open: a dying io_uring does so for some milliseconds.
  void hang_up() noexcept;
  /// After a hang-up by the service: removes the files that it left in /dev/shm if it died; see ring_directory::remove_opened(). One that
  /// lives removes them itself, and then this finds nothing; while it has not hung up this does nothing at all.
  void abandon_files() noexcept;

  [[nodiscard]] pid_t service_pid() const noexcept { return service_pid_; }
  [[nodiscard]] std::uint32_t max_message_size() const noexcept { return max_message_size_; }
  [[nodiscard]] std::size_t shm_bytes() const noexcept {
    return parts_->request_ring.shm_bytes() + parts_->response_ring.shm_bytes() + parts_->event_ring.shm_bytes();
  }

 private:
  void read_doorbells() noexcept;
  struct parts {  // apart, so that a moved connection keeps its rings where they are
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
    bool waits_for_half = false;
  };
  connection(base::unique_fd socket, ring_directory files, const connection_facts& facts, std::unique_ptr<parts> made)
      : parts_(std::move(made)),
        socket_(std::move(socket)),
        files_(std::move(files)),
        max_message_size_(facts.max_message_size),
        service_pid_(facts.service_pid) {}

  std::unique_ptr<parts> parts_;
  base::unique_fd socket_;  // closed before the rings go: the service hears of it first
  base::closed_in_child socket_in_child_{socket_.get()};
  ring_directory files_;
  std::uint32_t max_message_size_;
  pid_t service_pid_;
};

}  // namespace cpgring::ipc
