// The way from one reactor to one worker and back: messages, errands ahead of them, and what is done.
//
// An errand is a callback that runs alone in its handle (a view, a change of state): nothing else of the handle is under way then, so it
// may pass the messages of other handles. Every item has room for its receipt: the reactor never has more under way than `back` holds.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>

#include <cpgring/error.hpp>

#include "base/cache_line.hpp"
#include "dispatch/lessor.hpp"
#include "dispatch/spsc_queue.hpp"

namespace cpgring::dispatch {

class worker_target;

/// One message for a worker; 56 bytes. What it points to stays leased until its receipt has come back; or it lies in a copy of its own.
struct work_item {
  worker_target* to;
  std::byte* data;
  union {
    std::uint64_t lease;
    std::byte* copy;  // where copy_size is not 0: the buffer that `data` lies in
  };
  std::uint64_t sequence;
  std::uint32_t size, node, pid;
  std::uint32_t copy_size = 0;
  void* waits = nullptr;  // whoever is to be told behind its callback; the target knows how
};
static_assert(sizeof(work_item) == 56);

struct errand {
  worker_target* to;
  std::function<void()> run;
};

/// `count` items of one handle are done, from `lease` on; `called` of them had their callback run. count 0: an errand is done.
struct receipt {
  worker_target* to;
  std::uint64_t lease;
  std::uint32_t count;
  std::uint32_t called;
  std::uint64_t bytes;              // payload of those
  std::unique_ptr<error> failure;   // a callback threw
  retained* lease_taken = nullptr;  // the callback of this one item left a lease on it
  std::byte* copy = nullptr;        // this one item lay in it
  std::uint32_t copy_size = 0;
};

struct feed {
  /// `capacity`: of messages under way, and of errands. Twice as many cells: a receipt can be here before the cells of its messages are
  /// free.
  explicit feed(std::size_t capacity) : work(capacity * 2), express(capacity), back(capacity * 2) {}

  spsc_queue<work_item> work;
  spsc_queue<errand> express;
  spsc_queue<receipt> back;
  spsc_queue<work_item>::ends work_ends = work.split();
  spsc_queue<errand>::ends express_ends = express.split();
  spsc_queue<receipt>::ends back_ends = back.split();
  /// The reactor: calls edit(work_item&) for each message that the worker has not begun with; the worker waits as long as that takes, if it
  /// wants one of them. All fields but `to` may be changed.
  template <class Edit>
  void edit_unclaimed(Edit&& edit) {
    // SYNC claim: each side shows its own mark before it looks at the other's (seq_cst on all four), so at least one of them sees both.
    // Modelled in tests/model/claim.pml.
    editing.store(true, std::memory_order_seq_cst);
    const std::uint64_t first = claimed.load(std::memory_order_seq_cst);
    for (std::uint64_t i = first; i < work_ends.in.end(); ++i) {
      edit(work_ends.in.at(i));
    }
    // SYNC claim: a worker that goes on sees what was changed.
    editing.store(false, std::memory_order_release);
  }
  /// The worker, before it looks at more of the messages below `end` than where they go.
  void claim(std::uint64_t end) noexcept {
    for (;;) {
      const std::uint64_t before = claimed.load(std::memory_order_relaxed);
      // SYNC claim: seq_cst, as edit_unclaimed says; a weaker store could be seen behind the look at the mark.
      claimed.store(end, std::memory_order_seq_cst);
      if (!editing.load(std::memory_order_seq_cst)) {
        return;
      }
      claimed.store(before, std::memory_order_relaxed);
      // SYNC claim: as above.
      while (editing.load(std::memory_order_acquire)) {
        std::this_thread::yield();
      }
    }
  }

  alignas(base::cache_line) std::atomic<std::uint64_t> claimed{0};  // the worker has begun with all messages below this number
  alignas(base::cache_line) std::atomic<bool> editing{false};
  callback_room room;                     // the worker's
  std::size_t messages = 0, errands = 0;  // the reactor's: under way, receipt not yet seen
  bool staged = false;                    // the reactor's: something is not yet published
  std::uint32_t untold = 0;               // the reactor's: published or staged, but the worker, if it sleeps, was not woken
};

}  // namespace cpgring::dispatch
