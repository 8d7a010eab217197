#include "reactor/uring.hpp"

#include <signal.h>
#include <time.h>

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

// Memory that is short, or a full completion queue, mend themselves. So many waits refused in a row, a pause behind each, take some
// seconds.
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
      made->registered_ = ::io_uring_register_ring_fd(&made->ring_) == 1;  // saves a look-up in each call; its failure costs nothing else
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
  while (sqe == nullptr && fault_ == 0) {
    submit();
    sqe = ::io_uring_get_sqe(&ring_);
  }
  return sqe != nullptr ? sqe : ring_.sq.sqes;
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

/// Makes what was prepared visible to the kernel; how many entries. Done here because liburing 2.3 passes on no flag of ours.
unsigned uring::flush() noexcept {
  auto& queue = ring_.sq;
  for (; queue.sqe_head != queue.sqe_tail; ++queue.sqe_head) {
    queue.array[queue.sqe_head & queue.ring_mask] = queue.sqe_head & queue.ring_mask;
  }
  // Relaxed: the kernel reads it in a system call of this very thread.
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
  return ::io_uring_enter2(fd, flush(), wait_for, all_flags | IORING_ENTER_EXT_ARG, reinterpret_cast<sigset_t*>(&more), sizeof more);
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

void uring::submit() noexcept {
  if (::io_uring_sq_ready(&ring_) != 0) {
    judge(call_enter(0, 0, nullptr), false);
  }
}

void uring::enter() noexcept {
  judge(call_enter(0, IORING_ENTER_GETEVENTS, nullptr), false);
  look_for_stale_flag();
}

void uring::wait(std::optional<base::nanoseconds> timeout) noexcept {
  // Interrupted, timed out, busy: the caller looks at the queue in any case.
  if (!timeout) {
    judge(call_enter(1, IORING_ENTER_GETEVENTS | wait_flags_, nullptr), true);
    look_for_stale_flag();
    return;
  }
  const auto count = timeout->count() > 0 ? timeout->count() : 0;
  __kernel_timespec limit{count / 1000000000, count % 1000000000};
  if ((ring_.features & IORING_FEAT_EXT_ARG) != 0) {
    judge(call_enter(1, IORING_ENTER_GETEVENTS | wait_flags_, &limit), true);
  } else {  // before Linux 5.11 the limit is an entry of its own
    io_uring_cqe* cqe = nullptr;
    judge(::io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, &limit, nullptr), true);
  }
  look_for_stale_flag();
}

}  // namespace cpgring::reactor
