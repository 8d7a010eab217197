// The queue between a reactor and a worker, against boost::lockfree::spsc_queue and
// moodycamel::ReaderWriterQueue, with elements of the engine's size and the calls that the engine makes. Two
// pinned threads run as fast as they can, so the queue becomes full and empty.
//
// The engine stages each message and publishes once for all messages of a turn. A worker takes up to 64 in
// place and releases them together. One element reports a run of finished messages.
#include <pthread.h>
#include <readerwriterqueue/readerwriterqueue.h>

#include <algorithm>
#include <array>
#include <boost/lockfree/spsc_queue.hpp>
#include <cstdint>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "base/relax.hpp"
#include "dispatch/worker_link.hpp"
#include "suites/suite.hpp"
#include "support/alternate.hpp"
#include "support/clocks.hpp"
#include "support/results.hpp"

namespace cpgring::bench {
namespace {

/// An element of the size of `Real`, without its meaning.
template <class Real>
struct element {
  std::array<std::uint64_t, sizeof(Real) / sizeof(std::uint64_t)> words{};
};
using item = element<dispatch::work_item>;
using done = element<dispatch::work_done>;
static_assert(sizeof(item) == sizeof(dispatch::work_item) && sizeof(done) == sizeof(dispatch::work_done));

constexpr std::size_t capacity = 4096, batch = 64;
constexpr std::uint64_t elements = 2000000, trips = 200000;

void pin(unsigned cpu) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu % std::thread::hardware_concurrency(), &one);
  ::pthread_setaffinity_np(::pthread_self(), sizeof one, &one);
}

/// Used like in the engine: stage() and publish() on one side; available(), front() and release() on the
/// other.
template <class T>
struct ours {
  dispatch::spsc_queue<T> queue{capacity};
  typename dispatch::spsc_queue<T>::ends ends = queue.split();

  /// Publishes up to `count` elements together; returns how many there was room for.
  std::size_t push(const T* from, std::size_t count) {
    std::size_t staged = 0;
    while (staged < count && ends.in.stage(from[staged]) != nullptr) {
      ++staged;
    }
    if (staged != 0) {
      ends.in.publish();
    }
    return staged;
  }
  /// Calls use(element) for up to `most` elements in place; returns their number.
  template <class Use>
  std::size_t take(std::size_t most, Use&& use) {
    const std::size_t count = std::min(most, ends.out.available(most));
    for (std::size_t i = 0; i < count; ++i) {
      use(std::as_const(ends.out.front(i)));
    }
    if (count != 0) {
      ends.out.release(count);
    }
    return count;
  }
};

template <class T>
struct boosts {
  boost::lockfree::spsc_queue<T> queue{capacity};
  std::array<T, batch> taken{};

  std::size_t push(const T* from, std::size_t count) {
    return count == 1 ? static_cast<std::size_t>(queue.push(*from)) : queue.push(from, count);
  }
  template <class Use>
  std::size_t take(std::size_t most, Use&& use) {
    const std::size_t count = queue.pop(taken.data(), most);
    std::for_each_n(taken.begin(), count, use);
    return count;
  }
};

/// ReaderWriterQueue has no batches: its users push and pop one by one.
template <class T>
struct moodycamels {
  moodycamel::ReaderWriterQueue<T> queue{capacity};

  std::size_t push(const T* from, std::size_t count) {
    std::size_t pushed = 0;
    while (pushed < count && queue.try_enqueue(from[pushed])) {
      ++pushed;
    }
    return pushed;
  }
  template <class Use>
  std::size_t take(std::size_t most, Use&& use) {
    std::size_t count = 0;
    for (T one; count < most && queue.try_dequeue(one); ++count) {
      use(std::as_const(one));
    }
    return count;
  }
};

void expect(bool holds) {
  if (!holds) {
    throw std::runtime_error("a queue lost or reordered elements");
  }
}

/// Runs `produce` on this thread and `consume` on another one, each on a CPU of its own.
template <class Produce, class Consume>
cost timed(std::uint64_t count, Produce produce, Consume consume) {
  std::thread other([&] {
    pin(1);
    consume();
  });
  cpu_set_t before;
  ::pthread_getaffinity_np(::pthread_self(), sizeof before, &before);
  pin(0);
  const cost c = cost_of(static_cast<double>(count), [&] {
    produce();
    other.join();
  });
  ::pthread_setaffinity_np(::pthread_self(), sizeof before, &before);  // the next suite sets its own affinity
  return c;
}

/// A side that finds the queue full or empty pauses before its next attempt, like reactor and worker.
std::size_t relaxed(std::size_t moved) {
  if (moved == 0) {
    base::relax();
  }
  return moved;
}

/// One direction: a reactor that publishes `Together` messages at a time, a worker that takes what is there.
template <template <class> class Queue, std::size_t Together>
cost one_way() {
  Queue<item> q;
  bool ordered = true;
  const cost s = timed(
      elements,
      [&q] {
        std::array<item, Together> some{};
        for (std::uint64_t i = 0; i < elements;) {
          const std::size_t n = std::min<std::uint64_t>(Together, elements - i);
          for (std::size_t k = 0; k < n; ++k) {
            some[k].words[0] = i + k;
          }
          i += relaxed(q.push(some.data(), n));
        }
      },
      [&] {
        for (std::uint64_t i = 0; i < elements;) {
          i += relaxed(q.take(batch, [&ordered, next = i](const item& e) mutable {
            ordered = ordered && e.words[0] == next++;
          }));
        }
      });
  expect(ordered);
  return s;
}

/// A message to a worker, and its completion back to the reactor.
template <template <class> class Queue>
cost there_and_back() {
  Queue<item> there;
  Queue<done> back;
  const auto any = [](const auto&) {};
  return timed(
      trips,
      [&] {
        const item one;
        for (std::uint64_t i = 0; i < trips; ++i) {
          while (relaxed(there.push(&one, 1)) == 0) {
          }
          while (relaxed(back.take(1, any)) == 0) {
          }
        }
      },
      [&] {
        const done one;
        for (std::uint64_t i = 0; i < trips; ++i) {
          while (relaxed(there.take(batch, any)) == 0) {
          }
          while (relaxed(back.push(&one, 1)) == 0) {
          }
        }
      });
}

template <template <class> class Peer>
void against(const std::string& peer, const settings& s, results& r) {
  const auto run = [&](const std::string& what, const char* unit, double at_least, cost (*us)(),
                       cost (*them)()) {
    const std::string name = fmt::format("{}, {}", what, peer);
    if (!s.wanted(name)) {
      return;
    }
    std::vector<double> ours, theirs;
    alternate(name, s.repeat(11, 3),
              {{"cpgring", [&] { ours.push_back(us().wall_ns); }},
               {peer, [&] { theirs.push_back(them().wall_ns); }}});
    row& found = r.add(name, unit, better::lower, ours, theirs, peer);
    if (at_least > 0) {
      found.wanted = at_least;
    }
  };
  run("published one by one", "ns an element", 1.2, one_way<ours, 1>, one_way<Peer, 1>);
  run("published by 64", "ns an element", 0, one_way<ours, batch>, one_way<Peer, batch>);
  run("there and back", "ns a trip", 1, there_and_back<ours>, there_and_back<Peer>);
}

}  // namespace

void run_spsc(const settings& s, results& r) {
  if (std::thread::hardware_concurrency() < 2) {
    r.note("left out: one CPU");
    return;
  }
  against<boosts>("boost", s, r);
  against<moodycamels>("moodycamel", s, r);
}

}  // namespace cpgring::bench
