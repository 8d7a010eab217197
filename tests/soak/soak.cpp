// Many handles send, leave and return on one service for a long time; no resource may grow.
//
//   soak [--seconds S] [--handles N] [--rate R] [--churn C] [--every E] [--warm-up W] [--service NAME]
//   [--brief]
//
// Handles form groups of eight. R multicasts a second go out in bursts; C handles a second leave and join
// again, are closed and reopened, or both. Every E seconds the program waits until nothing is in flight and
// takes a sample. At the end it compares the first quarter of the samples with the last (not with --brief)
// and, once all is closed, the resources with those before the first handle was opened. Exits with 1 if
// something grew.
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <cpgring/cpgring.hpp>
#include <cpgring/testing.hpp>

#include "soak/figures.hpp"

namespace cpgring::soak {
namespace {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

constexpr std::size_t group_size = 8;
// Longest wait for everything in flight; the service needs some milliseconds for each handle.
constexpr auto patience = 60s;
// Longest wait for the service to remove the files of closed connections; it usually takes less than a
// second.
constexpr auto settling = 20s;
// Allowed growth of the heap: glibc counts blocks in a thread's cache as in use, up to 7 of each of 64 sizes
// up to 1 KiB. More than that is a leak.
constexpr std::uint64_t few_kib = 256;
constexpr std::uint32_t burst = 32;
constexpr std::size_t large_message = 150000;  // above the atomic limit of 64 KiB rings: travels as fragments

struct plan {
  std::uint32_t seconds = 60, handles = 1000, rate = 400, churn = 5, every = 5, warm_up = 120;
  std::string service = "cpg";
  bool brief = false;
};

std::atomic<bool> failed{false};
void complain(const std::string& what) {
  failed = true;
  fmt::print("FAILED: {}\n", what);
  std::fflush(stdout);
}

/// Counts requests and the calls of their completions.
struct promises {
  std::atomic<std::uint64_t> made{0}, kept{0};
  completion<void> one() {
    ++made;
    return [this](const result<void>&) { ++kept; };
  }
};

/// One place for a handle, used by one handle after another.
struct slot {
  handle now;
  std::uint32_t number = 0;
  std::uint32_t comes_back = 0;         // how it returns once it has left
  std::atomic<std::uint64_t> round{0};  // the last roll call that it has heard
  std::mutex lock;
  std::vector<lease> kept;  // guarded by the lock
  std::string refused;      // outcome of the last join; guarded by the lock
};

class crowd {
 public:
  crowd(const plan& p, std::uint32_t handles)
      : plan_(p), slots_(handles), random_(4711), log_(std::make_unique<log_lines>()) {
    engine_options o;
    o.workers = 2;
    o.handles_expected = std::max(handles, 64U);
    o.close_deadline = std::chrono::duration_cast<std::chrono::milliseconds>(patience);
    o.log = [lines = log_.get()](log_level level, std::string_view text) {
      if (level == log_level::error || level == log_level::warning) {
        const std::lock_guard guard(lines->lock);
        lines->all.emplace_back(text);
      }
    };
    engine_ = std::make_unique<engine>(o);
    if (auto ok = engine_->start(); !ok) {
      throw std::runtime_error(ok.error().message());
    }
    for (std::uint32_t i = 0; i < handles; ++i) {
      slots_[i] = std::make_unique<slot>();
      slots_[i]->number = i;
      open(*slots_[i]);
    }
  }

  /// Sends, and changes `churn` handles a second, until `end`.
  void stir_until(steady::time_point end, std::uint32_t churn) {
    const auto step = 50ms;
    double sends = 0, changes = 0;
    for (auto at = steady::now(); at < end; at += step) {
      std::this_thread::sleep_until(at);
      for (sends += plan_.rate * 0.05; sends >= burst; sends -= burst) {
        send_burst(any());
      }
      for (changes += churn * 0.05; changes >= 1; changes -= 1) {
        change(any());
      }
      come_back();
    }
  }

  /// Waits until every handle is in its group, has got one more message there, and nothing is in flight.
  bool rest() {
    // Counts polls, not time: a machine that is suspended for a minute must not use up the patience.
    constexpr auto pause = 20ms;
    auto checks = patience / pause;
    bool called = false;
    std::uint64_t heard = 0;
    int quiet = 0;
    ++round_;
    while (checks-- > 0) {
      come_back();
      join_who_was_refused();
      for (auto& one : slots_) {
        const std::lock_guard guard(one->lock);
        one->kept.clear();
      }
      const auto s = engine_->stats();
      const bool all_in = leaving_.empty() && s.handles == slots_.size() &&
                          std::all_of(slots_.begin(), slots_.end(), [](const auto& one) {
                            return one->now.state() == handle_state::joined;
                          });
      called = called || (all_in && call_the_roll());
      const bool all_heard = called && std::all_of(slots_.begin(), slots_.end(),
                                                   [this](const auto& one) { return one->round == round_; });
      quiet = all_heard && s.total.messages == heard && s.total.leases == 0 ? quiet + 1 : 0;
      heard = s.total.messages;
      if (quiet == 10) {
        return true;
      }
      std::this_thread::sleep_for(pause);
    }
    std::string states;
    // The roll is called only once all handles are in their groups.
    const bool all_in = std::all_of(slots_.begin(), slots_.end(),
                                    [](const auto& one) { return one->now.state() == handle_state::joined; });
    for (auto& one : slots_) {
      if (one->now.state() != handle_state::joined || (all_in && one->round != round_)) {
        const std::lock_guard guard(one->lock);
        states +=
            fmt::format(" number {} {}, it last came back {}: {}", one->number, to_string(one->now.state()),
                        one->comes_back == 0 ? "on a new connection" : "as a new handle", one->refused);
      }
    }
    const auto stats = engine_->stats();
    complain(fmt::format(
        "no rest: {} handles open, {} on their way back, {} leases held; not in their groups, or deaf:{}",
        stats.handles, leaving_.size(), stats.total.leases, states));
    return false;
  }

  void fill_in(sample& s) const {
    const auto stats = engine_->stats();
    s.handles = stats.handles;
    s.messages = stats.total.messages;
    s.multicasts = stats.total.multicasts;
    s.lives = lives_;
  }

  /// Closes all handles; false if one stays open.
  bool close() {
    for (auto& one : slots_) {
      one->now.close();
    }
    const auto end = steady::now() + patience;
    while (engine_->stats().handles != 0 && steady::now() < end) {
      std::this_thread::sleep_for(5ms);
    }
    const auto left = engine_->stats().handles;
    if (left != 0) {
      complain(fmt::format("{} handles are still open {} s after they were closed", left, patience.count()));
    }
    engine_.reset();
    slots_.clear();  // a handle keeps some memory of its engine
    if (promises_.made != promises_.kept) {
      complain(fmt::format("{} completions were called for {} requests", promises_.kept.load(),
                           promises_.made.load()));
    }
    if (strangers_ != 0) {
      complain(fmt::format("{} messages of another group, or damaged", strangers_.load()));
    }
    for (const auto& line : log_->all) {
      fmt::print("log: {}\n", line);
    }
    return left == 0;
  }

 private:
  struct letter {  // the header of every message
    std::uint64_t group, size, check, round;
    static std::uint64_t mix(std::uint64_t group, std::uint64_t size) {
      return (group * 1000003 + size) * 0x9e3779b97f4a7c15U;
    }
  };
  struct log_lines {
    std::mutex lock;
    std::vector<std::string> all;
  };

  slot& any() { return *slots_[std::uniform_int_distribution<std::size_t>(0, slots_.size() - 1)(random_)]; }

  void open(slot& s) {
    handle_options o;
    o.service = plan_.service;
    o.ring_bytes = 65536;
    o.group = group_of(s);
    cpgring::testing::simulate_pid(o, 1000000000 + s.number);  // above Linux's largest pid, 4194304
    o.connect_deadline = o.control_deadline = std::chrono::duration_cast<std::chrono::milliseconds>(patience);
    o.supervision.reconnect = true;
    callbacks calls;
    calls.on_message = [this, &s](handle&, const message& m) { take(s, m); };
    calls.on_view = [](handle&, const view&) {};
    calls.on_state = [](handle&, const state_change& c) {
      if (c.to == handle_state::lost) {
        complain(fmt::format("a handle was lost: {}", c.cause != nullptr ? c.cause->message() : "no cause"));
      }
    };
    auto opened = engine_->open(o, std::move(calls));
    if (!opened) {
      complain("open: " + opened.error().message());
      return;
    }
    s.now = *opened;
    ++lives_;
  }

  void take(slot& s, const message& m) {
    letter l{};
    const auto bytes = m.bytes();
    if (bytes.size() >= sizeof l) {
      std::memcpy(&l, bytes.data(), sizeof l);
    }
    if (l.group != s.number / group_size || l.size != bytes.size() ||
        l.check != letter::mix(l.group, l.size)) {
      ++strangers_;
    }
    if (l.round != 0) {
      s.round = l.round;
    }
    if (m.sequence() % 64 == 0) {  // each is kept until four later ones are kept
      if (auto one = m.retain()) {
        const std::lock_guard guard(s.lock);
        s.kept.push_back(std::move(*one));
        if (s.kept.size() > 4) {
          s.kept.erase(s.kept.begin());
        }
      }
    }
  }

  /// Multicasts a message to each group; false if one was refused: then the caller repeats the call for all.
  bool call_the_roll() {
    bool all = true;
    for (std::size_t i = 0; i < slots_.size(); i += group_size) {
      const std::uint64_t group = i / group_size;
      const letter l{group, sizeof(letter), letter::mix(group, sizeof(letter)), round_};
      all = slots_[i]->now.multicast(std::as_bytes(std::span(&l, 1))).has_value() && all;
    }
    return all;
  }

  void send_burst(slot& s) {
    const std::uint64_t group = s.number / group_size;
    for (std::uint32_t i = 0; i < burst; ++i) {
      std::uint64_t size = sizeof(letter) + std::uniform_int_distribution<std::uint64_t>(0, 1500)(random_);
      if (std::uniform_int_distribution<int>(0, 2000)(random_) == 0) {
        size = large_message;
      }
      std::vector<std::byte> text(size, std::byte{0x55});
      const letter l{group, size, letter::mix(group, size), 0};
      std::memcpy(text.data(), &l, sizeof l);
      if (!s.now.multicast(text)) {
        return;  // joining, leaving or blocked: the next burst is for another handle
      }
    }
  }

  /// Lets a handle leave or closes it; come_back() brings it back.
  void change(slot& s) {
    // Its state may not yet show a leave that was requested.
    if (s.now.state() != handle_state::joined ||
        std::find(leaving_.begin(), leaving_.end(), &s) != leaving_.end()) {
      return;
    }
    s.comes_back = std::uniform_int_distribution<std::uint32_t>(0, 3)(random_);
    if (s.comes_back == 3) {
      s.now.close();
    } else if (auto asked = s.now.leave(promises_.one()); !asked) {
      ++promises_.kept;
      return;
    }
    leaving_.push_back(&s);
  }

  void come_back() {
    std::erase_if(leaving_, [this](slot* s) {
      switch (s->now.state()) {
        case handle_state::left:
          if (s->comes_back == 0) {  // joins again on a new connection, as a supervised handle may
            if (auto asked = s->now.join(group_of(*s), promises_.one()); !asked) {
              ++promises_.kept;
              return false;
            }
            ++lives_;
            return true;
          }
          s->now.close();
          return false;
        case handle_state::closed: open(*s); return true;
        default: return false;
      }
    });
  }

  /// Repeats refused joins: the service may still count the previous handle of the slot as a member.
  void join_who_was_refused() {
    for (auto& one : slots_) {
      if (one->now.state() != handle_state::ready) {
        continue;
      }
      ++promises_.made;
      const auto asked = one->now.join(group_of(*one), [this, &s = *one](const result<void>& joined) {
        ++promises_.kept;
        const std::lock_guard guard(s.lock);
        s.refused = joined ? "joined" : joined.error().message();
      });
      if (!asked) {
        ++promises_.kept;
        const std::lock_guard guard(one->lock);
        one->refused = "at once: " + asked.error().message();
      }
    }
  }

  static std::string group_of(const slot& s) {
    return fmt::format("soak-{}-{}", ::getpid(), s.number / group_size);
  }

  const plan& plan_;
  std::vector<std::unique_ptr<slot>> slots_;
  std::vector<slot*> leaving_;
  std::mt19937 random_;
  promises promises_;
  std::atomic<std::uint64_t> strangers_{0};
  std::uint64_t lives_ = 0, round_ = 0;
  std::unique_ptr<log_lines> log_;
  std::unique_ptr<engine> engine_;  // last, because its callbacks use all of the above
};

/// Waits until `as_before` holds for a sample, or `settling` is over: the service removes files after a
/// while.
sample wait_for(const std::function<bool(const sample&)>& as_before, pid_t daemon) {
  const auto end = steady::now() + settling;
  for (;;) {
    const sample now = take_sample(daemon);
    if (as_before(now) || steady::now() >= end) {
      return now;
    }
    std::this_thread::sleep_for(20ms);
  }
}

bool service_holds_the_same(const sample& a, const sample& b) {
  return a.shm_files == b.shm_files && a.shm_kib == b.shm_kib && a.daemon.descriptors == b.daemon.descriptors;
}

void compare_with_before(const sample& before, pid_t daemon) {
  const auto same = [&before](const sample& after) {
    return service_holds_the_same(before, after) && after.ours.descriptors == before.ours.descriptors &&
           after.ours.mappings == before.ours.mappings && after.ours.ring_mappings == 0 &&
           after.heap_kib <= before.heap_kib + few_kib;
  };
  const sample after = wait_for(same, daemon);
  fmt::print("\nbefore the first handle, and after the last:\n");
  print_head();
  print(before);
  print(after);
  if (!same(after)) {
    complain("something is still held after everything was closed");
  }
}

int run(const plan& p) {
  // Avoids growth that glibc causes: threads leave their own heaps behind, and large blocks are mappings.
  ::mallopt(M_ARENA_MAX, 1);
  ::mallopt(M_MMAP_THRESHOLD, 1 << 30);
  const char* const known = std::getenv("COROSYNC_PID");
  const pid_t daemon = known != nullptr && p.service == "cpg" ? static_cast<pid_t>(std::atol(known)) : 0;
  const sample at_first = take_sample(daemon);
  {  // creates what a process creates once, and thread stacks that glibc keeps
    crowd first(p, std::min(p.handles, 8U));
    first.rest();
    first.stir_until(steady::now() + 1s, p.churn);
    first.rest();
    first.close();
  }
  const sample before =
      wait_for([&at_first](const sample& now) { return service_holds_the_same(at_first, now); }, daemon);
  crowd all(p, p.handles);
  if (!all.rest()) {
    return 1;
  }
  std::vector<sample> samples;
  const auto began = steady::now();
  const auto seconds = [&began] {
    return std::chrono::duration_cast<std::chrono::seconds>(steady::now() - began);
  };
  print_head();
  while (seconds().count() < p.seconds && !failed) {
    // The heaps of this process and of the daemon reach their size once every handle has been replaced some
    // times.
    all.stir_until(steady::now() + std::chrono::seconds(p.every),
                   seconds().count() < p.warm_up ? 8 * p.churn : p.churn);
    if (!all.rest()) {
      break;
    }
    sample s = take_sample(daemon);
    s.at = seconds();
    all.fill_in(s);
    print(s);
    if (s.at.count() >= p.warm_up) {
      samples.push_back(s);
    }
  }
  if (!samples.empty()) {
    const auto wall = samples.back().at - samples.front().at;
    const auto share = [&wall](std::chrono::milliseconds used) {
      return wall.count() == 0 ? 0.0
                               : static_cast<double>(used.count()) / 10.0 / static_cast<double>(wall.count());
    };
    fmt::print("\n{} handles for {} s; CPU: ours {:.1f} %, the daemon's {:.1f} % of one\n", p.handles,
               seconds().count(), share(samples.back().ours.cpu - samples.front().ours.cpu),
               share(samples.back().daemon.cpu - samples.front().daemon.cpu));
  }
  if (!p.brief && !holds_still(samples)) {
    complain("something grows");
  }
  all.close();
  compare_with_before(before, daemon);
  fmt::print("{}\n", failed ? "FAILED" : "nothing grows, nothing is left");
  return failed ? 1 : 0;
}

}  // namespace
}  // namespace cpgring::soak

int main(int argc, char** argv) {
  cpgring::soak::plan p;
  CLI::App app("many handles for a long time: does anything grow?");
  app.add_option("--seconds", p.seconds, "length, without the opening and the closing")
      ->capture_default_str();
  app.add_option("--handles", p.handles, "handles")->check(CLI::Range(8, 4000))->capture_default_str();
  app.add_option("--rate", p.rate, "multicasts a second, in bursts of 32; each goes to eight handles")
      ->capture_default_str();
  app.add_option("--churn", p.churn, "handles a second that leave or are closed, and come back")
      ->capture_default_str();
  app.add_option("--every", p.every, "seconds between two samples")
      ->check(CLI::Range(1, 3600))
      ->capture_default_str();
  app.add_option("--warm-up", p.warm_up, "seconds whose samples are not compared")->capture_default_str();
  app.add_option("--service", p.service, "name of the service")->capture_default_str();
  app.add_flag("--brief", p.brief, "too short to compare samples: only what is left at the end counts");
  CLI11_PARSE(app, argc, argv);
  try {
    return cpgring::soak::run(p);
  } catch (const std::exception& e) {
    fmt::print("soak: {}\n", e.what());
    return 1;
  }
}
