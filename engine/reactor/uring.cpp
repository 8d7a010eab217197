#include "reactor/uring.hpp"

#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

namespace cpgring::reactor {
namespace {

struct rung {
  unsigned flags;
  std::string_view name;
};

// From the best down. DEFER_TASKRUN: completions are made when we ask, in our own thread, in batches; TASKRUN_FLAG: a look in user memory
// tells that there are some; SINGLE_ISSUER: the kernel need not lock against others.
constexpr unsigned sizes = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL;
constexpr std::array<rung, 3> ladder{{
    {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG | sizes,
     "SINGLE_ISSUER, DEFER_TASKRUN, TASKRUN_FLAG"},
    {IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | sizes, "COOP_TASKRUN, TASKRUN_FLAG"},
    {IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP, "plain"},
}};

}  // namespace

result<std::unique_ptr<uring>> uring::create(unsigned entries, unsigned completions) {
  std::unique_ptr<uring> made(new uring);
  int why = 0;
  for (const rung& r : ladder) {
    io_uring_params params{};
    params.flags = r.flags;
    params.cq_entries = completions;
    why = -::io_uring_queue_init_params(entries, &made->ring_, &params);
    if (why == 0) {
      made->setup_ = r.name;
      made->defer_ = (r.flags & IORING_SETUP_DEFER_TASKRUN) != 0;
      ::io_uring_ring_dontfork(&made->ring_);
      made->ring_in_child_ = base::closed_in_child(made->ring_.ring_fd);
      ::io_uring_register_ring_fd(&made->ring_);  // saves a look-up in each call; its failure costs nothing else
      made->probe_ = ::io_uring_get_probe_ring(&made->ring_);
      return made;
    }
    made->ring_ = {};
    if (why != EINVAL) {
      break;  // refused as a whole: a plainer set-up would be as well
    }
  }
  made->ring_.ring_fd = -1;
  return fail(uring_refused(why));
}

uring::~uring() {
  if (probe_ != nullptr) {
    ::io_uring_free_probe(probe_);
  }
  if (ring_.ring_fd >= 0) {
    ring_in_child_.reset();
    ::io_uring_queue_exit(&ring_);
  }
}

bool uring::supports(std::uint8_t opcode) const noexcept { return probe_ != nullptr && ::io_uring_opcode_supported(probe_, opcode) != 0; }

io_uring_sqe* uring::next_sqe() noexcept {
  io_uring_sqe* sqe = ::io_uring_get_sqe(&ring_);
  while (sqe == nullptr) {
    ::io_uring_submit(&ring_);
    sqe = ::io_uring_get_sqe(&ring_);
  }
  return sqe;
}

bool uring::quiet() const noexcept {
  // Relaxed: a hint when to enter; what completed is read behind the acquire of the completion queue's tail in liburing.
  const unsigned flags = __atomic_load_n(ring_.sq.kflags, __ATOMIC_RELAXED);
  const unsigned telling = stale_ ? IORING_SQ_CQ_OVERFLOW : IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW;
  return (flags & telling) == 0 && ::io_uring_sq_ready(&ring_) == 0 && ::io_uring_cq_ready(&ring_) == 0;
}

void uring::look_for_stale_flag() noexcept { stale_ = (__atomic_load_n(ring_.sq.kflags, __ATOMIC_RELAXED) & IORING_SQ_TASKRUN) != 0; }

bool uring::overflowed() const noexcept {
  // Relaxed: only counted.
  return (__atomic_load_n(ring_.sq.kflags, __ATOMIC_RELAXED) & IORING_SQ_CQ_OVERFLOW) != 0;
}

void uring::enter() noexcept {
  ::io_uring_submit_and_get_events(&ring_);
  look_for_stale_flag();
}

void uring::wait(std::optional<base::nanoseconds> timeout) noexcept {
  // Interrupted, timed out, busy: the caller looks at the queue in any case.
  io_uring_cqe* cqe = nullptr;
  if (!timeout) {
    ::io_uring_submit_and_wait(&ring_, 1);
    look_for_stale_flag();
    return;
  }
  const auto count = timeout->count() > 0 ? timeout->count() : 0;
  __kernel_timespec ts{count / 1000000000, count % 1000000000};
  ::io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, &ts, nullptr);
  look_for_stale_flag();
}

}  // namespace cpgring::reactor
