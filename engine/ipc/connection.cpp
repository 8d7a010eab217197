#include "ipc/connection.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

#include "base/checked_read.hpp"
#include "base/hot.hpp"

namespace cpgring::ipc {

result<connection> connection::open(base::unique_fd socket, const connection_facts& facts, bool prefault) {
  auto files = ring_directory::open(facts.directory, {facts.service_uid, ::geteuid()});
  if (!files) {
    return fail(files.error());
  }
  auto request = shared_ring::open(*files, facts.request, facts.max_message_size, prefault);
  if (!request) {
    return fail(request.error());
  }
  auto response = shared_ring::open(*files, facts.response, facts.max_message_size, prefault);
  if (!response) {
    return fail(response.error());
  }
  auto event = shared_ring::open(*files, facts.event, facts.max_message_size, prefault);
  if (!event) {
    return fail(event.error());
  }
  files->close();
  auto made = std::make_unique<parts>(std::move(*request), std::move(*response), std::move(*event));
  made->outstanding_limit = doorbell::outstanding_limit(socket.get());
  return connection(std::move(socket), std::move(*files), facts, std::move(made));
}

CPGRING_HOT enum writable connection::writable() noexcept {
  auto& requests = parts_->requests;
  if (parts_->bell.owed() != 0 && !parts_->bell.send_owed(socket_.get())) {
    return writable::hung_up;
  }
  flow_signals s{};
  s.control_word = base::read_once_u32(parts_->request_ring.user_word());
  s.reference_count = base::read_once_u32(parts_->request_ring.reference_count());
  s.has_room = requests.has_room();
  s.outstanding = requests.outstanding() + requests.staged();
  s.outstanding_max = parts_->outstanding_limit;
  // After a refusal half of the limit must be free. Otherwise each request that the service takes would admit
  // one more, each with a doorbell of its own.
  if (parts_->refused_before) {
    s.outstanding_max = (s.outstanding_max + 1) / 2;
  }
  s.doorbells_owed = parts_->bell.owed();
  const enum writable answer = requests.broken() ? writable::hung_up : may_write(s);
  parts_->refused_before = answer == writable::outstanding;
  return answer;
}

CPGRING_HOT result<void> connection::flush() noexcept {
  auto& bell = parts_->bell;
  if (bell.owed() != 0) {
    if (auto ok = bell.send_owed(socket_.get()); !ok || bell.owed() != 0) {
      return ok;
    }
  }
  if (parts_->requests.broken()) {
    return fault();
  }
  // Nothing may be inserted between these two lines: see doorbell.hpp.
  const std::uint32_t published = parts_->requests.publish();
  return bell.ring(socket_.get(), published);
}

result<void> connection::fault() const {
  return parts_->requests.broken() ? result<void>(fail(parts_->requests.fault())) : result<void>();
}

void connection::read_doorbells() noexcept {
  const auto bytes = doorbell::drain(socket_.get());
  parts_->debt.emptied(parts_->events.taken(), bytes.value_or(0));
}

bool connection::hung_up() const noexcept {
  pollfd p{socket_.get(), POLLRDHUP, 0};
  return ::poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLRDHUP | POLLERR)) != 0;
}

void connection::hang_up() noexcept { ::shutdown(socket_.get(), SHUT_RDWR); }

void connection::remove_files_of_dead_service() noexcept {
  if (hung_up()) {
    files_.remove_opened();
  }
}

}  // namespace cpgring::ipc
