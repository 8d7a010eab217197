// In every state of a handle and of its service, close(), stop() and the engine's destructor return, within
// close_deadline if they wait, and each accepted request's completion runs once.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <list>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "support/service_process.hpp"
#include "support/world.hpp"

namespace cpgring::test {
namespace {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

constexpr auto close_deadline = 150ms;
// Extra time for busy machines and sanitizers. A call that waited for the service would never return.
constexpr auto margin = 10s;

enum class driver { own_thread, run, dispatch };
enum class ending { close_first, stop_at_once };

/// One engine with one handle, and everything that may be in progress on the handle.
class stage {
 public:
  stage(service_process& service, wakeup backend, std::uint32_t workers, driver who)
      : service_(service), who_(who) {
    engine_options o;
    o.wakeup_backend = backend;
    o.workers = workers;
    o.close_deadline = close_deadline;
    engine_ = std::make_unique<engine>(o);
    if (who_ == driver::own_thread) {
      EXPECT_TRUE(engine_->start());
    } else if (who_ == driver::run) {
      runner_ = std::thread([this] {
        const auto ran = engine_->run();
        EXPECT_TRUE(ran || ran.error() == errc::stopped) << ran.error().message();  // stop() may come first
      });
    }
  }
  ~stage() {
    let_go_ = true;
    if (engine_) {
      engine_->stop();
      join_threads();
    }
  }

  service_process& service() { return service_; }

  void open(bool supervised = false, const std::string& of = {}) {
    handle_options o;
    o.service = of.empty() ? service_.name() : of;
    o.ring_bytes = 65536;
    o.send_queue_bytes = 1 << 18;
    o.connect_deadline = o.control_deadline = patience;
    o.lease_age_max = patience;
    o.supervision.reconnect = supervised;
    callbacks c;
    c.on_message = [this](handle&, const message& m) {
      if (m.text() == "keep") {
        if (auto taken = m.retain()) {
          lease_ = std::move(*taken);
        }
        kept_ = true;
      } else if (m.text() == "slow") {
        inside_ = true;
        while (!let_go_) {
          std::this_thread::sleep_for(100us);
        }
      }
    };
    c.on_state = [this](handle&, const state_change& s) {
      closed_heard_ += s.to == handle_state::closed ? 1 : 0;
    };
    auto opened = engine_->open(o, std::move(c));
    ASSERT_TRUE(opened) << opened.error().message();
    self = *opened;
  }
  void join() {
    open();
    ask("join", self.join(world::fresh_group("stop"), owed("join")));
    ASSERT_TRUE(until_state(handle_state::joined));
  }

  bool until(const std::function<bool()>& condition) {
    if (who_ != driver::dispatch) {
      return eventually(condition);
    }
    const auto end = steady::now() + patience;
    while (!condition()) {
      if (steady::now() > end || !engine_->dispatch(mode::blocking, budget{64, 0, 2ms})) {
        return condition();
      }
    }
    return true;
  }
  /// Waits until the engine has opened its own descriptors.
  bool is_driven() {
    return until([&] { return engine_->stats().backend != wakeup::automatic; });
  }
  bool until_state(handle_state wanted) {
    return until([&] { return self.state() == wanted; });
  }

  // --- what may be in progress
  /// Takes a lease in the ring.
  void keep_a_lease() {
    ASSERT_TRUE(self.multicast("keep"));
    ASSERT_TRUE(until([&] { return kept_.load(); }));
  }
  /// Starts a callback that runs until the end has begun; not if this thread would have to run it.
  void begin_a_callback() {
    if (who_ != driver::dispatch) {
      ASSERT_TRUE(self.multicast("slow"));
      ASSERT_TRUE(until([&] { return inside_.load(); }));
    }
  }
  /// Multicasts a message in fragments, then whole messages from two threads until they are refused.
  void send_all_that_goes() {
    static_cast<void>(self.multicast(std::string(200000, 'f')));
    const auto fill = [this] {
      const std::string text(3000, 'x');
      constexpr int messages_max = 2000;  // a running service may never refuse
      for (int i = 0; i < messages_max && self.multicast(text); ++i) {
      }
    };
    std::thread other(fill);
    fill();
    other.join();
  }
  void ask_everything() {
    ask("members", self.query_members("stop", owed_answer<std::vector<member_address>>("members")));
    ask("groups", self.query_groups(owed_answer<std::vector<group_entry>>("groups")));
    ask("node", self.query_local_node(owed_answer<std::uint32_t>("node")));
  }
  void ask(const char* what, const result<void>& asked) {
    if (!asked) {
      const auto refused =
          std::find_if(answers_.rbegin(), answers_.rend(), [&](const answer& a) { return a.what == what; });
      refused->refused = true;
    }
  }
  completion<void> owed(const char* what) {
    answer& a = answers_.emplace_back(what);
    return [&a](const result<void>&) { ++a.calls; };
  }
  template <class T>
  completion<T> owed_answer(const char* what) {
    answer& a = answers_.emplace_back(what);
    return [&a](const result<T>&) { ++a.calls; };
  }

  // --- the end
  struct figures {
    std::chrono::milliseconds call{0}, gone{0}, destructor{0};
    std::size_t owed = 0;
  };
  figures end(ending how) {
    figures f;
    const bool was_over = self.state() == handle_state::closed || self.state() == handle_state::lost;
    auto began = steady::now();
    const auto lap = [&began] {
      return std::chrono::duration_cast<std::chrono::milliseconds>(steady::now() -
                                                                   std::exchange(began, steady::now()));
    };
    if (how == ending::close_first) {
      self.close();
      f.call = lap();
      EXPECT_LT(f.call, margin) << "close() waited";
      let_go_ = true;
      EXPECT_TRUE(until([&] { return engine_->stats().handles == 0; }));
      f.gone = lap();
      EXPECT_LT(f.gone, close_deadline + margin);
      EXPECT_TRUE(until([&] {
        return std::all_of(answers_.begin(), answers_.end(),
                           [](const answer& a) { return a.refused || a.calls != 0; });
      })) << "a completion was not called although the engine continues";
      EXPECT_TRUE(
          until([&] { return was_over || closed_heard_ == 1 || self.state() == handle_state::lost; }));
      lap();
      engine_->stop();
    } else {
      engine_->stop();
      f.call = lap();
      EXPECT_LT(f.call, margin) << "stop() waited";
      let_go_ = true;
    }
    join_threads();
    lap();
    engine_.reset();
    f.destructor = lap();
    EXPECT_LT(f.destructor, close_deadline + margin);
    EXPECT_LE(closed_heard_, 1);
    for (const answer& a : answers_) {
      EXPECT_EQ(a.calls, a.refused ? 0 : 1) << "completion of " << a.what;
      f.owed += a.refused ? 0U : 1U;
    }
    EXPECT_EQ(lease_.pin().text(), kept_ ? "keep" : "") << "a lease outlives its engine";
    return f;
  }

  handle self;

 private:
  struct answer {
    explicit answer(const char* w) : what(w) {}
    std::string what;
    std::atomic<int> calls{0};
    bool refused = false;
  };
  void join_threads() {
    if (runner_.joinable()) {
      runner_.join();
    }
  }

  service_process& service_;
  const driver who_;
  std::list<answer> answers_;
  std::atomic<bool> kept_{false}, inside_{false}, let_go_{false};
  std::atomic<int> closed_heard_{0};
  lease lease_;
  std::unique_ptr<engine> engine_;
  std::thread runner_;
};

std::size_t descriptors() {
  const auto all = std::filesystem::directory_iterator("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

struct row {
  const char* what;
  void (*reach)(stage&);
};

void joined_and_busy(stage& s) {
  s.join();
  s.keep_a_lease();
  s.begin_a_callback();
}

const row rows[] = {
    {"connecting, supervised, and there is no such service",
     [](stage& s) {
       s.open(true, world::fresh_group("nobody"));
       s.ask("join", s.self.join("later", s.owed("join")));
       s.ask_everything();
     }},
    {"connecting to a service that is stopped in the middle of the handshake",
     [](stage& s) {
       s.service().stop();
       ASSERT_TRUE(s.is_driven());
       const auto before = descriptors();
       s.open();
       ASSERT_TRUE(s.until([before] { return descriptors() > before; })) << "the socket";
       s.ask("join", s.self.join("later", s.owed("join")));
       s.ask_everything();
     }},
    {"connecting to a stopped service, supervised",
     [](stage& s) {
       s.service().stop();
       s.open(true);
       s.ask("join", s.self.join("later", s.owed("join")));
     }},
    {"ready",
     [](stage& s) {
       s.open();
       ASSERT_TRUE(s.until_state(handle_state::ready));
       s.ask_everything();
     }},
    {"ready, the service stopped",
     [](stage& s) {
       s.open();
       ASSERT_TRUE(s.until_state(handle_state::ready));
       s.service().stop();
       s.ask_everything();
     }},
    {"joining, the service stopped",
     [](stage& s) {
       s.open();
       ASSERT_TRUE(s.until_state(handle_state::ready));
       s.service().stop();
       s.ask("join", s.self.join("stop", s.owed("join")));
       ASSERT_TRUE(s.until_state(handle_state::joining));
       s.ask_everything();
     }},
    {"joining, the service gone",
     [](stage& s) {
       s.open();
       ASSERT_TRUE(s.until_state(handle_state::ready));
       s.service().stop();
       s.ask("join", s.self.join("stop", s.owed("join")));
       ASSERT_TRUE(s.until_state(handle_state::joining));
       s.service().kill();
     }},
    {"joined, messages on their way",
     [](stage& s) {
       joined_and_busy(s);
       s.send_all_that_goes();
       s.ask_everything();
     }},
    {"joined, the service stopped, its ring full",
     [](stage& s) {
       joined_and_busy(s);
       s.service().stop();
       s.send_all_that_goes();
       s.ask_everything();
     }},
    {"joined, the service stopped, requests ahead of a full ring",
     [](stage& s) {
       joined_and_busy(s);
       s.service().stop();
       s.ask_everything();
       s.send_all_that_goes();
     }},
    {"joined, the service gone",
     [](stage& s) {
       joined_and_busy(s);
       s.service().stop();
       s.send_all_that_goes();
       s.ask_everything();
       s.service().kill();
     }},
    {"leaving, the service stopped",
     [](stage& s) {
       s.join();
       s.keep_a_lease();
       s.service().stop();
       s.ask("leave", s.self.leave(s.owed("leave")));
       ASSERT_TRUE(s.until_state(handle_state::leaving));
       s.ask_everything();
     }},
    {"leaving, behind a full ring",
     [](stage& s) {
       s.join();
       s.keep_a_lease();
       s.service().stop();
       s.send_all_that_goes();
       s.ask("leave", s.self.leave(s.owed("leave")));
     }},
    {"left",
     [](stage& s) {
       s.join();
       s.ask("leave", s.self.leave(s.owed("leave")));
       ASSERT_TRUE(s.until_state(handle_state::left));
       s.ask_everything();
     }},
    {"left, the service stopped",
     [](stage& s) {
       s.join();
       s.ask("leave", s.self.leave(s.owed("leave")));
       ASSERT_TRUE(s.until_state(handle_state::left));
       s.service().stop();
       s.ask_everything();
     }},
    {"left, and joining another group, the service stopped",
     [](stage& s) {
       s.open(true);
       ASSERT_TRUE(s.until_state(handle_state::ready));
       s.ask("join", s.self.join(world::fresh_group("stop"), s.owed("join")));
       ASSERT_TRUE(s.until_state(handle_state::joined));
       s.ask("leave", s.self.leave(s.owed("leave")));
       ASSERT_TRUE(s.until_state(handle_state::left));
       s.service().stop();
       s.ask_everything();
       s.ask("join again", s.self.join(world::fresh_group("stop"), s.owed("join again")));
     }},
    {"lost",
     [](stage& s) {
       s.join();
       s.service().kill();
       ASSERT_TRUE(s.until_state(handle_state::lost));
       s.ask_everything();
     }},
    {"lost, supervised, the service still away",
     [](stage& s) {
       s.open(true);
       ASSERT_TRUE(s.until_state(handle_state::ready));
       s.ask("join", s.self.join(world::fresh_group("stop"), s.owed("join")));
       ASSERT_TRUE(s.until_state(handle_state::joined));
       s.service().stop();
       s.ask_everything();
       s.service().kill();
       // The handle is lost and soon connects again.
       ASSERT_TRUE(s.until([&s] {
         return s.self.state() == handle_state::lost || s.self.state() == handle_state::connecting;
       }));
     }},
    {"closed",
     [](stage& s) {
       s.join();
       s.self.close();
       ASSERT_TRUE(s.until_state(handle_state::closed));
       s.ask_everything();
     }},
    {"closing, the service stopped",
     [](stage& s) {
       joined_and_busy(s);
       s.service().stop();
       s.send_all_that_goes();
       s.ask_everything();
       s.self.close();
     }},
};

struct stopping : ::testing::TestWithParam<std::tuple<wakeup, std::uint32_t, driver, ending>> {};

TEST_P(stopping, ends_in_time_in_every_state_and_answers_once) {
  const auto [backend, workers, who, how] = GetParam();
  if (!world::embedded() && who == driver::run) {
    GTEST_SKIP() << "own_thread covers this; restarting a daemon takes long";
  }
  service_process service;
  std::string table =
      fmt::format("{:<72}{:>8}{:>8}{:>12}{:>9}\n", "ms", "call", "gone", "destructor", "answers");
  for (const row& one : rows) {
    SCOPED_TRACE(one.what);
    stage s(service, backend, workers, who);
    one.reach(s);
    if (!HasFatalFailure()) {
      const auto f = s.end(how);
      table += fmt::format("{:<72}{:>8}{:>8}{:>12}{:>9}\n", one.what, f.call.count(), f.gone.count(),
                           f.destructor.count(), f.owed);
    }
    service.start();
    service.resume();
    if (HasFailure()) {
      break;
    }
  }
  fmt::print("{}", table);
}

std::string name_of(const ::testing::TestParamInfo<stopping::ParamType>& p) {
  const auto [backend, workers, who, how] = p.param;
  constexpr const char* drivers[] = {"own_thread", "run", "dispatch"};
  return fmt::format("{}_{}_{}_{}", to_string(backend), workers == 0 ? "inline" : "workers",
                     drivers[static_cast<int>(who)], how == ending::close_first ? "close" : "stop");
}

INSTANTIATE_TEST_SUITE_P(on, stopping,
                         ::testing::Combine(::testing::ValuesIn(backends_here()), ::testing::Values(0U, 2U),
                                            ::testing::Values(driver::own_thread, driver::run,
                                                              driver::dispatch),
                                            ::testing::Values(ending::close_first, ending::stop_at_once)),
                         name_of);

}  // namespace
}  // namespace cpgring::test
