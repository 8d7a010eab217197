// Many handles that live, send, leave and come back on one service for a long time: nothing that they hold may grow.
//
//   soak [--seconds S] [--handles N] [--rate R] [--churn C] [--every E] [--warm-up W] [--service NAME] [--brief]
//
// Groups of eight; R multicasts a second in bursts, C handles a second leave and join again, are closed and opened anew, or both. Each E
// seconds everything is let come to rest and a sample is taken. At the end the first quarter of the samples is compared with the last (not
// with --brief), and, once all is closed, what is held with what was held before the first handle was opened. Exits with 1 if there is
// more.
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

#include "soak/figures.hpp"

namespace cpgring::soak {
namespace {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

constexpr std::size_t group_size = 8;
// Longest wait for what is under way; the service has some milliseconds of work for each handle.
constexpr auto patience = 60s;
// For the service to remove files of connections that are closed; it comes round to it within a second.
constexpr auto settling = 20s;
// glibc counts what a thread has freed and keeps at hand as handed out: 7 blocks of each of 64 sizes up to 1 KiB. More than that was
// forgotten.
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

/// What has been asked of handles, and how often the answer came.
struct promises {
  std::atomic<std::uint64_t> made{0}, kept{0};
  handle::completion one() {
    ++made;
    return [this](const result<void>&) { ++kept; };
  }
};

/// One place for a handle; its handles come and go.
struct slot {
  handle now;
  std::uint32_t number = 0;
  std::uint32_t comes_back = 0;         // how it does once it has left
  std::atomic<std::uint64_t> round{0};  // the last of which it has heard
  std::mutex lock;
  std::vector<lease> kept;  // under the lock
  std::string refused;      // what the last join was told; under the lock
};

class crowd {
 public:
  crowd(const plan& p, std::uint32_t handles) : plan_(p), slots_(handles), random_(4711), log_(std::make_unique<log_lines>()) {
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

  /// Waits until every handle is in its group, has got one more message there, and gets no more.
  bool rest() {
    // Counted in looks: a machine that stands still for a minute has looked at nothing.
    constexpr auto pause = 20ms;
    auto looks = patience / pause;
    bool called = false;
    std::uint64_t heard = 0;
    int quiet = 0;
    ++round_;
    while (looks-- > 0) {
      come_back();
      join_who_was_refused();
      for (auto& one : slots_) {
        const std::lock_guard guard(one->lock);
        one->kept.clear();
      }
      const auto s = engine_->stats();
      const bool all_in = leaving_.empty() && s.handles == slots_.size() && std::all_of(slots_.begin(), slots_.end(), [](const auto& one) {
                            return one->now.state() == handle_state::joined;
                          });
      called = called || (all_in && call_the_roll());
      const bool all_heard = called && std::all_of(slots_.begin(), slots_.end(), [this](const auto& one) { return one->round == round_; });
      quiet = all_heard && s.total.messages == heard && s.total.leases == 0 ? quiet + 1 : 0;
      heard = s.total.messages;
      if (quiet == 10) {
        return true;
      }
      std::this_thread::sleep_for(pause);
    }
    std::string states;
    // Where one is not in its group none has been called.
    const bool all_in = std::all_of(slots_.begin(), slots_.end(), [](const auto& one) { return one->now.state() == handle_state::joined; });
    for (auto& one : slots_) {
      if (one->now.state() != handle_state::joined || (all_in && one->round != round_)) {
        const std::lock_guard guard(one->lock);
        states += fmt::format(" number {} {}, it last came back {}: {}", one->number, to_string(one->now.state()),
                              one->comes_back == 0 ? "on a new connection" : "as a new handle", one->refused);
      }
    }
    const auto stats = engine_->stats();
    complain(fmt::format("no rest: {} handles open, {} on their way back, {} leases held; not in their groups, or deaf:{}", stats.handles,
                         leaving_.size(), stats.total.leases, states));
    return false;
  }

  void fill_in(sample& s) const {
    const auto stats = engine_->stats();
    s.handles = stats.handles;
    s.messages = stats.total.messages;
    s.multicasts = stats.total.multicasts;
    s.lives = lives_;
  }

  /// Closes all; false if one does not go.
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
    slots_.clear();  // a handle keeps a little of its engine
    if (promises_.made != promises_.kept) {
      complain(fmt::format("{} completions were called for {} requests", promises_.kept.load(), promises_.made.load()));
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
  struct letter {  // what every message begins with
    std::uint64_t group, size, check, round;
    static std::uint64_t mix(std::uint64_t group, std::uint64_t size) { return (group * 1000003 + size) * 0x9e3779b97f4a7c15U; }
  };
  struct log_lines {
    std::mutex lock;
    std::vector<std::string> all;
  };

  slot& any() { return *slots_[std::uniform_int_distribution<std::size_t>(0, slots_.size() - 1)(random_)]; }

  void open(slot& s) {
    handle_options o;
    o.service = plan_.service;
    o.max_message_size = 65536;
    o.group = group_of(s);
    o.pid = 1000000000 + s.number;  // no process has it: Linux counts to 4194304
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
    auto opened = engine_->open(o, calls);
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
    if (l.group != s.number / group_size || l.size != bytes.size() || l.check != letter::mix(l.group, l.size)) {
      ++strangers_;
    }
    if (l.round != 0) {
      s.round = l.round;
    }
    if (m.sequence() % 64 == 0) {  // one of these is kept until four later ones were
      if (auto one = m.retain()) {
        const std::lock_guard guard(s.lock);
        s.kept.push_back(std::move(*one));
        if (s.kept.size() > 4) {
          s.kept.erase(s.kept.begin());
        }
      }
    }
  }

  /// A message to each group; false if one was not taken: then all are called again.
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
        return;  // on its way in or out, or the service is behind: the next burst is another handle's
      }
    }
  }

  /// Lets a handle leave or end; come_back() goes on with it.
  void change(slot& s) {
    // Its state may not yet show that it was told to go.
    if (s.now.state() != handle_state::joined || std::find(leaving_.begin(), leaving_.end(), &s) != leaving_.end()) {
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
          if (s->comes_back == 0) {  // on a connection of its own, as a supervised handle may
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

  /// The service may still count the handle that had the place before: then the group will not have the new one yet.
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

  static std::string group_of(const slot& s) { return fmt::format("soak-{}-{}", ::getpid(), s.number / group_size); }

  const plan& plan_;
  std::vector<std::unique_ptr<slot>> slots_;
  std::vector<slot*> leaving_;
  std::mt19937 random_;
  promises promises_;
  std::atomic<std::uint64_t> strangers_{0};
  std::uint64_t lives_ = 0, round_ = 0;
  std::unique_ptr<log_lines> log_;
  std::unique_ptr<engine> engine_;  // the last: its callbacks use all of the above
};

/// What is held once all is closed is what was held before. The service removes files when it comes round to it.
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
           after.ours.mappings == before.ours.mappings && after.ours.ring_mappings == 0 && after.heap_kib <= before.heap_kib + few_kib;
  };
  const sample after = wait_for(same, daemon);
  fmt::print("\nbefore the first handle, and after the last:\n");
  print_head();
  print(before);
  print(after);
  if (!same(after)) {
    complain("after everything was closed something is still held");
  }
}

int run(const plan& p) {
  // Threads that come and go leave heaps of their own behind in glibc, and large blocks mappings: neither is what is looked for.
  ::mallopt(M_ARENA_MAX, 1);
  ::mallopt(M_MMAP_THRESHOLD, 1 << 30);
  const char* const known = std::getenv("COROSYNC_PID");
  const pid_t daemon = known != nullptr && p.service == "cpg" ? static_cast<pid_t>(std::atol(known)) : 0;
  const sample at_first = take_sample(daemon);
  {  // what is made once in a process, and stacks of threads that glibc keeps
    crowd first(p, std::min(p.handles, 8U));
    first.rest();
    first.stir_until(steady::now() + 1s, p.churn);
    first.rest();
    first.close();
  }
  const sample before = wait_for([&at_first](const sample& now) { return service_holds_the_same(at_first, now); }, daemon);
  crowd all(p, p.handles);
  if (!all.rest()) {
    return 1;
  }
  std::vector<sample> samples;
  const auto began = steady::now();
  const auto seconds = [&began] { return std::chrono::duration_cast<std::chrono::seconds>(steady::now() - began); };
  print_head();
  while (seconds().count() < p.seconds && !failed) {
    // Heaps, ours and the daemon's, find their size once every handle has come and gone some times.
    all.stir_until(steady::now() + std::chrono::seconds(p.every), seconds().count() < p.warm_up ? 8 * p.churn : p.churn);
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
      return wall.count() == 0 ? 0.0 : static_cast<double>(used.count()) / 10.0 / static_cast<double>(wall.count());
    };
    fmt::print("\n{} handles for {} s; CPU: ours {:.1f} %, the daemon's {:.1f} % of one\n", p.handles, seconds().count(),
               share(samples.back().ours.cpu - samples.front().ours.cpu), share(samples.back().daemon.cpu - samples.front().daemon.cpu));
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
  app.add_option("--seconds", p.seconds, "length, without the opening and the closing")->capture_default_str();
  app.add_option("--handles", p.handles, "handles")->check(CLI::Range(8, 4000))->capture_default_str();
  app.add_option("--rate", p.rate, "multicasts a second, in bursts of 32; each goes to eight handles")->capture_default_str();
  app.add_option("--churn", p.churn, "handles a second that leave or are closed, and come back")->capture_default_str();
  app.add_option("--every", p.every, "seconds between two samples")->check(CLI::Range(1, 3600))->capture_default_str();
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
