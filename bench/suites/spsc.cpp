// The queue between a reactor and a worker against boost::lockfree::spsc_queue and moodycamel::ReaderWriterQueue: 40-byte elements, two
// pinned threads, as fast as both ends go (so the queue runs full and empty), one at a time, in batches of 64, and there and back.
#include <pthread.h>
#include <readerwriterqueue/readerwriterqueue.h>

#include <array>
#include <boost/lockfree/spsc_queue.hpp>
#include <cstdint>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>

#include <fmt/format.h>

#include "dispatch/spsc_queue.hpp"
#include "suites/suite.hpp"
#include "support/alternate.hpp"
#include "support/clocks.hpp"
#include "support/results.hpp"

namespace cpgring::bench {
namespace {

struct element {
  std::array<std::uint64_t, 5> words;
};
static_assert(sizeof(element) == 40);
constexpr std::size_t capacity = 4096, batch = 64;
constexpr std::uint64_t elements = 2000000, trips = 200000;

void pin(unsigned cpu) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu % std::thread::hardware_concurrency(), &one);
  ::pthread_setaffinity_np(::pthread_self(), sizeof one, &one);
}

struct ours {
  dispatch::spsc_queue<element> queue{capacity};
  dispatch::spsc_queue<element>::ends ends = queue.split();
  bool push(const element& e) { return ends.in.emplace(e); }
  bool pop(element& e) { return ends.out.pop(e); }
  std::size_t push_many(const element* e, std::size_t n) { return ends.in.push({e, n}); }
  std::size_t pop_many(element* e, std::size_t n) { return ends.out.pop(std::span(e, n)); }
};

struct boosts {
  boost::lockfree::spsc_queue<element> queue{capacity};
  bool push(const element& e) { return queue.push(e); }
  bool pop(element& e) { return queue.pop(e); }
  std::size_t push_many(const element* e, std::size_t n) { return queue.push(e, n); }
  std::size_t pop_many(element* e, std::size_t n) { return queue.pop(e, n); }
};

/// It has no batches: its users push and pop one by one.
struct moodycamels {
  moodycamel::ReaderWriterQueue<element> queue{capacity};
  bool push(const element& e) { return queue.try_enqueue(e); }
  bool pop(element& e) { return queue.try_dequeue(e); }
  std::size_t push_many(const element* e, std::size_t n) {
    std::size_t done = 0;
    while (done < n && push(e[done])) {
      ++done;
    }
    return done;
  }
  std::size_t pop_many(element* e, std::size_t n) {
    std::size_t done = 0;
    while (done < n && pop(e[done])) {
      ++done;
    }
    return done;
  }
};

void expect(bool holds) {
  if (!holds) {
    throw std::runtime_error("a queue lost or reordered elements");
  }
}

/// Runs `produce` here and `consume` on the other CPU.
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
  ::pthread_setaffinity_np(::pthread_self(), sizeof before, &before);  // the next suite chooses for itself
  return c;
}

template <class Queue>
cost one_by_one() {
  Queue q;
  bool ordered = true;
  const cost s = timed(
      elements,
      [&q] {
        element e{};
        for (std::uint64_t i = 0; i < elements;) {
          e.words[0] = i;
          i += q.push(e) ? 1U : 0U;
        }
      },
      [&] {
        element e{};
        for (std::uint64_t i = 0; i < elements;) {
          if (q.pop(e)) {
            ordered = ordered && e.words[0] == i++;
          }
        }
      });
  expect(ordered);
  return s;
}

template <class Queue>
cost in_batches() {
  Queue q;
  bool ordered = true;
  const cost s = timed(
      elements,
      [&q] {
        std::array<element, batch> some{};
        for (std::uint64_t i = 0; i < elements;) {
          const std::size_t n = std::min<std::uint64_t>(batch, elements - i);
          for (std::size_t k = 0; k < n; ++k) {
            some[k].words[0] = i + k;
          }
          i += q.push_many(some.data(), n);
        }
      },
      [&] {
        std::array<element, batch> some{};
        for (std::uint64_t i = 0; i < elements;) {
          const std::size_t n = q.pop_many(some.data(), batch);
          for (std::size_t k = 0; k < n; ++k) {
            ordered = ordered && some[k].words[0] == i + k;
          }
          i += n;
        }
      });
  expect(ordered);
  return s;
}

template <class Queue>
cost there_and_back() {
  Queue there, back;
  return timed(
      trips,
      [&] {
        element e{};
        for (std::uint64_t i = 0; i < trips; ++i) {
          while (!there.push(e)) {
          }
          while (!back.pop(e)) {
          }
        }
      },
      [&] {
        element e{};
        for (std::uint64_t i = 0; i < trips; ++i) {
          while (!there.pop(e)) {
          }
          while (!back.push(e)) {
          }
        }
      });
}

template <class Peer>
void against(const std::string& peer, const settings& s, results& r) {
  const auto run = [&](const std::string& what, const char* unit, double at_least, cost (*us)(), cost (*them)()) {
    const std::string name = fmt::format("{}, {}", what, peer);
    if (!s.wanted(name)) {
      return;
    }
    std::vector<double> ours, theirs;
    alternate(name, s.repeat(11, 3),
              {{"cpgring", [&] { ours.push_back(us().wall_ns); }}, {peer, [&] { theirs.push_back(them().wall_ns); }}});
    row& found = r.add(name, unit, better::lower, ours, theirs, peer);
    if (at_least > 0) {
      found.wanted = at_least;
    }
  };
  run("one by one", "ns an element", 1.2, one_by_one<ours>, one_by_one<Peer>);
  run("batches of 64 against one by one", "ns an element", 3, in_batches<ours>, one_by_one<Peer>);
  run("batches of 64", "ns an element", 0, in_batches<ours>, in_batches<Peer>);
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
