#include "reactor/uring.hpp"

#include <signal.h>
#include <time.h>

#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

#include "base/hot.hpp"

namespace cpgring::reactor {
namespace {

struct rung {
  unsigned flags;
  std::string_view name;
};

// From the best to the plainest. DEFER_TASKRUN: completions are made on request, by our own thread, in
// batches. TASKRUN_FLAG: user memory shows that some are pending. SINGLE_ISSUER: the kernel needs no lock
// against other threads.
constexpr unsigned sizes = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL;
constexpr std::array<rung, 3> ladder{{
    {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG | sizes,
     "SINGLE_ISSUER, DEFER_TASKRUN, TASKRUN_FLAG"},
    {IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | sizes, "COOP_TASKRUN, TASKRUN_FLAG"},
    {IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP, "plain"},
}};

// A lack of memory or a full completion queue may pass. This many refused waits in a row, with a pause after
// each, take some seconds.
constexpr unsigned refused_in_a_row_max = 5000;
constexpr timespec pause_when_refused{0, 1000000};

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
      made->wait_flags_ = (params.features & abi::feature_no_iowait) != 0 ? abi::enter_no_iowait : 0;
      ::io_uring_ring_dontfork(&made->ring_);
      made->ring_in_child_ = base::closed_in_child(made->ring_.ring_fd);
      // A registered ring saves a look-up in each call; a failure has no other effect.
      made->registered_ = ::io_uring_register_ring_fd(&made->ring_) == 1;
      made->probe_ = ::io_uring_get_probe_ring(&made->ring_);
      return made;
    }
    made->ring_ = {};
    if (why != EINVAL) {
      break;  // io_uring as a whole is refused, so a plainer set-up would be refused too
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

bool uring::supports(std::uint8_t opcode) const noexcept {
  return probe_ != nullptr && ::io_uring_opcode_supported(probe_, opcode) != 0;
}

io_uring_sqe* uring::next_sqe() noexcept {
  io_uring_sqe* sqe = ::io_uring_get_sqe(&ring_);
  while (sqe == nullptr && fault_ == 0) {
    submit();
    sqe = ::io_uring_get_sqe(&ring_);
  }
  return sqe != nullptr ? sqe : ring_.sq.sqes;
}

CPGRING_HOT bool uring::quiet() const noexcept {
  // Relaxed: only a hint to enter the kernel; completions are read after liburing's acquire load of the
  // completion queue's tail.
  const unsigned flags = __atomic_load_n(ring_.sq.kflags, __ATOMIC_RELAXED);
  const unsigned telling = stale_ ? IORING_SQ_CQ_OVERFLOW : IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW;
  return (flags & telling) == 0 && ::io_uring_sq_ready(&ring_) == 0 && ::io_uring_cq_ready(&ring_) == 0;
}

CPGRING_HOT bool uring::delivered() const noexcept {
  // Relaxed: as in quiet(). Work that comes later sets the flag again and is found by the next poll.
  const unsigned flags = __atomic_load_n(ring_.sq.kflags, __ATOMIC_RELAXED);
  return !stale_ && (flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) == 0 &&
         ::io_uring_sq_ready(&ring_) == 0 && ::io_uring_cq_ready(&ring_) != 0;
}

void uring::update_stale() noexcept {
  stale_ = (__atomic_load_n(ring_.sq.kflags, __ATOMIC_RELAXED) & IORING_SQ_TASKRUN) != 0;
}

bool uring::overflowed() const noexcept {
  // Relaxed: for a counter only.
  return (__atomic_load_n(ring_.sq.kflags, __ATOMIC_RELAXED) & IORING_SQ_CQ_OVERFLOW) != 0;
}

/// Makes prepared entries visible to the kernel and returns their number. Done here because liburing 2.3 does
/// not pass on our flags.
unsigned uring::flush() noexcept {
  auto& queue = ring_.sq;
  for (; queue.sqe_head != queue.sqe_tail; ++queue.sqe_head) {
    queue.array[queue.sqe_head & queue.ring_mask] = queue.sqe_head & queue.ring_mask;
  }
  // Relaxed: the kernel reads it in a system call of this thread.
  __atomic_store_n(queue.ktail, queue.sqe_tail, __ATOMIC_RELAXED);
  return queue.sqe_tail - __atomic_load_n(queue.khead, __ATOMIC_RELAXED);
}

int uring::call_enter(unsigned wait_for, unsigned flags, const __kernel_timespec* limit) noexcept {
  if (fault_ != 0) {
    return -fault_;
  }
  const auto fd = static_cast<unsigned>(ring_.enter_ring_fd);
  const unsigned all_flags = flags | (registered_ ? IORING_ENTER_REGISTERED_RING : 0U);
  if (limit == nullptr) {
    return ::io_uring_enter2(fd, flush(), wait_for, all_flags, nullptr, _NSIG / 8);
  }
  io_uring_getevents_arg more{};
  more.sigmask_sz = _NSIG / 8;
  more.ts = reinterpret_cast<std::uint64_t>(limit);
  return ::io_uring_enter2(fd, flush(), wait_for, all_flags | IORING_ENTER_EXT_ARG,
                           reinterpret_cast<sigset_t*>(&more), sizeof more);
}

void uring::judge(int outcome, bool waited) noexcept {
  switch (-outcome) {
    case EINTR:
    case ETIME: return;
    case EAGAIN:
    case EBUSY:
    case ENOMEM:
      if (!waited || ::io_uring_cq_ready(&ring_) != 0) {
        return;
      }
      if (++refused_in_a_row_ < refused_in_a_row_max) {
        ::nanosleep(&pause_when_refused, nullptr);
        return;
      }
      break;
    default:
      if (outcome >= 0) {
        refused_in_a_row_ = 0;
        return;
      }
  }
  fault_ = fault_ != 0 ? fault_ : -outcome;
}

CPGRING_HOT void uring::submit() noexcept {
  if (::io_uring_sq_ready(&ring_) != 0) {
    judge(call_enter(0, 0, nullptr), false);
  }
}

CPGRING_HOT void uring::enter() noexcept {
  judge(call_enter(0, IORING_ENTER_GETEVENTS, nullptr), false);
  update_stale();
}

void uring::wait(std::optional<base::nanoseconds> timeout) noexcept {
  // Interrupted, timed out or busy: the caller reads the queue in any case.
  if (!timeout) {
    judge(call_enter(1, IORING_ENTER_GETEVENTS | wait_flags_, nullptr), true);
    update_stale();
    return;
  }
  const auto count = timeout->count() > 0 ? timeout->count() : 0;
  __kernel_timespec limit{count / 1000000000, count % 1000000000};
  if ((ring_.features & IORING_FEAT_EXT_ARG) != 0) {
    judge(call_enter(1, IORING_ENTER_GETEVENTS | wait_flags_, &limit), true);
  } else {  // before Linux 5.11 the time limit is an entry of its own
    io_uring_cqe* cqe = nullptr;
    judge(::io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, &limit, nullptr), true);
  }
  update_stale();
}

}  // namespace cpgring::reactor
