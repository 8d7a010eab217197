// The way from one reactor to one worker and back: messages, errands ahead of them, and what is done.
//
// An errand is a callback that runs alone in its handle (a view, a change of state): nothing else of the handle is under way then, so it
// may pass the messages of other handles. Every item has room for its receipt: the reactor never has more under way than `back` holds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include <cpgring/error.hpp>

#include "base/sleep_flag.hpp"
#include "dispatch/lessor.hpp"
#include "dispatch/spsc_queue.hpp"

namespace cpgring::dispatch {

class worker_target;

/// One message for a worker; 48 bytes. What it points to stays leased until its receipt has come back.
struct work_item {
  worker_target* to;
  std::byte* data;
  std::uint64_t lease;
  std::uint64_t sequence;
  std::uint32_t size, node, pid, unused = 0;
};
static_assert(sizeof(work_item) == 48);

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
};

struct feed {
  explicit feed(std::size_t capacity) : work(capacity), express(capacity), back(capacity * 2) {}

  spsc_queue<work_item> work;
  spsc_queue<errand> express;
  spsc_queue<receipt> back;
  spsc_queue<work_item>::ends work_ends = work.split();
  spsc_queue<errand>::ends express_ends = express.split();
  spsc_queue<receipt>::ends back_ends = back.split();
  callback_room room;         // the worker's
  std::size_t under_way = 0;  // the reactor's: handed over, receipt not yet seen
  bool staged = false;        // the reactor's: something is not yet published
};

}  // namespace cpgring::dispatch
