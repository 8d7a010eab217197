#include "ipc/connection.hpp"

#include <poll.h>
#include <unistd.h>

#include <utility>

#include "base/checked_read.hpp"

namespace cpgring::ipc {

result<connection> connection::open(base::unique_fd socket, connection_facts facts, bool prefault) {
  auto request = shared_ring::open(facts.request_base, facts.max_message_size, prefault);
  if (!request) {
    return fail(request.error());
  }
  auto response = shared_ring::open(facts.response_base, facts.max_message_size, prefault);
  if (!response) {
    return fail(response.error());
  }
  auto event = shared_ring::open(facts.event_base, facts.max_message_size, prefault);
  if (!event) {
    return fail(event.error());
  }
  auto made = std::make_unique<parts>(std::move(*request), std::move(*response), std::move(*event));
  return connection(std::move(socket), std::move(facts), std::move(made));
}

enum writable connection::writable() noexcept {
  flow_signals s{};
  s.control_word = base::read_once_u32(parts_->request_ring.user_word());
  s.reference_count = base::read_once_u32(parts_->request_ring.reference_count());
  s.outstanding = parts_->requests.outstanding() + parts_->requests.staged();
  s.outstanding_max = doorbell::outstanding_max;
  s.doorbells_owed = parts_->bell.owed();
  const auto verdict = may_write(s);
  if (s.doorbells_owed != 0 && (verdict == writable::outstanding) && parts_->bell.settle(socket_.get())) {
    s.doorbells_owed = parts_->bell.owed();
    return may_write(s);
  }
  return verdict;
}

result<void> connection::flush() noexcept {
  // Nothing may come between these two lines: see doorbell.hpp.
  const std::uint32_t published = parts_->requests.publish();
  return parts_->bell.ring(socket_.get(), published);
}

bool connection::hung_up() const noexcept {
  pollfd p{socket_.get(), POLLRDHUP, 0};
  return ::poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLRDHUP | POLLERR)) != 0;
}

void connection::abandon_files() noexcept {
  for (const auto* base : {&facts_.request_base, &facts_.response_base, &facts_.event_base}) {
    for (const char* kind : {"-header", "-data"}) {
      ::unlink((*base + kind).c_str());
    }
  }
  const auto slash = facts_.event_base.rfind('/');
  ::rmdir(facts_.event_base.substr(0, slash).c_str());  // fails unless it is empty, as it should
}

}  // namespace cpgring::ipc
