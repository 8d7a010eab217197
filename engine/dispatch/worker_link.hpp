// The queues between one reactor and one worker: messages, exclusive calls, reports.
//
// An exclusive call is a callback that runs alone in its handle (a view, a change of state). No other item of
// the handle is with a worker then, so the call may overtake messages of other handles. There is room for the
// report of every item: the reactor never has more items in progress than `back` holds.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>

#include <cpgring/function.hpp>
#include <cpgring/result.hpp>

#include "base/cache_line.hpp"
#include "dispatch/spsc_queue.hpp"
#include "lease/lease_factory.hpp"

namespace cpgring::dispatch {

class worker_target;

/// One message for a worker; 56 bytes. Its bytes are claimed in the ring until its report has come back, or
/// are in a copy.
struct work_item {
  worker_target* to;
  std::byte* data;
  union {
    std::uint64_t claim;
    std::byte* copy;  // if copy_size is not 0: the buffer that holds `data`
  };
  std::uint64_t sequence;
  std::uint32_t size, node, pid;
  std::uint32_t copy_size = 0;
  void* confirms = nullptr;  // a confirmation to run after its callback; the target knows the type
};
static_assert(sizeof(work_item) == 56);

struct exclusive_call {
  worker_target* to;
  function<void()> run;
};

/// A worker's report: `count` items of one handle are done, from `claim` on, and the callbacks of `called` of
/// them have run. count 0: an exclusive call is done.
struct work_done {
  worker_target* to;
  std::uint64_t claim;
  std::uint32_t count;
  std::uint32_t called;
  std::uint64_t bytes;                         // payload bytes of these
  std::unique_ptr<error> failure;              // a callback threw
  leasing::lease_block* ring_lease = nullptr;  // the callback of this one item took a lease on it
  std::byte* copy = nullptr;                   // the copy in which this one item was
  std::uint32_t copy_size = 0;
};

struct worker_link {
  /// `capacity`: most messages, and most calls, in progress. The queues have twice as many cells, because a
  /// report can arrive before the cells of its messages are free.
  explicit worker_link(std::size_t capacity) : work(capacity * 2), express(capacity), back(capacity * 2) {}

  spsc_queue<work_item> work;
  spsc_queue<exclusive_call> express;
  spsc_queue<work_done> back;
  spsc_queue<work_item>::ends work_ends = work.split();
  spsc_queue<exclusive_call>::ends exclusive_call_ends = express.split();
  spsc_queue<work_done>::ends back_ends = back.split();
  /// Reactor: calls edit(work_item&) for each message that the worker has not claimed. A worker that needs
  /// one of them waits meanwhile. All fields except `to` may be changed.
  template <class Edit>
  void edit_unclaimed(Edit&& edit) {
    // SYNC claim: each side writes its own mark before it reads the other's (seq_cst on all four), so at
    // least one of them sees both. Modelled in tests/model/claim.pml.
    editing.store(true, std::memory_order_seq_cst);
    const std::uint64_t first = claimed.load(std::memory_order_seq_cst);
    for (std::uint64_t i = first; i < work_ends.in.end(); ++i) {
      edit(work_ends.in.at(i));
    }
    // SYNC claim: a worker that continues sees the changes.
    editing.store(false, std::memory_order_release);
  }
  /// Worker: call it before reading more than the target of messages below `end`.
  void claim(std::uint64_t end) noexcept {
    for (;;) {
      const std::uint64_t before = claimed.load(std::memory_order_relaxed);
      // SYNC claim: seq_cst, see edit_unclaimed; a weaker store could become visible after the mark was read.
      claimed.store(end, std::memory_order_seq_cst);
      if (!editing.load(std::memory_order_seq_cst)) {
        return;
      }
      claimed.store(before, std::memory_order_relaxed);
      // SYNC claim: sees the changes.
      while (editing.load(std::memory_order_acquire)) {
        std::this_thread::yield();
      }
    }
  }

  // The worker has claimed all messages below this number.
  alignas(base::cache_line) std::atomic<std::uint64_t> claimed{0};
  alignas(base::cache_line) std::atomic<bool> editing{false};
  leasing::callback_scratch scratch;    // the worker's
  std::size_t messages = 0, calls = 0;  // the reactor's: in progress, not yet reported
  bool staged = false;                  // the reactor's: something is not yet published
  std::uint32_t unannounced = 0;        // the reactor's: queued since the worker was last woken
};

}  // namespace cpgring::dispatch
