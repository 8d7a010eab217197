// A member of the fault campaign: one engine and several supervised handles, each with a history for the
// checker.
//
// Ends on SIGTERM, on "stop", or when its standard input is closed. Commands come on standard input, answers
// go to standard output:
//
//   (nothing)           pid N         at once
//   (nothing)           joined        once every handle has been in its group
//   finish GROUP=N ...  finished       handles stay from now on; answered when each sees N members, has heard
//                                     each of them, and its own messages were delivered
//   open GROUP          (nothing)     opens one more handle
//   dump                state ...     the state of each handle
//   stop                done ...      waits for messages in flight, leaves or closes, and ends
//
// At any time: "violation PROMISE: TEXT", after which the member continues, and "hang TEXT". Exit code 1 if
// it printed either.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <cpgring/testing.hpp>

#include "campaign/participant.hpp"

namespace cpgring::campaign {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t lives_of_a_handle = 100000, handles_of_a_member = 1000;
constexpr auto tick_interval = 1ms;
// A longer time between two ticks means that this process was stopped; then its hang timers restart.
constexpr auto stopped_ourselves = 1s;

std::atomic<bool> terminated{false};

struct options {
  std::string service = "cpg", folder;
  std::vector<std::string> groups;
  std::uint32_t node = 1;
  std::uint64_t number = 0, seed = 0;
  double hang_after_s = 30;
  int descriptors = 0;
  bool leaves_at_end = false;
  engine_options engine;
  participant_options one;
};

class member {
 public:
  explicit member(options o) : o_(std::move(o)), random_(o_.seed) {
    o_.engine.log = [this](log_level level, std::string_view text) {
      if (level >= log_level::warning) {
        say(fmt::format("log {}: {}", to_string(level), text));
      }
    };
    loop_ = std::make_unique<engine>(o_.engine);
  }

  ~member() {
    loop_.reset();  // ends all callbacks
  }

  int run() {
    say(fmt::format("pid {}", ::getpid()));
    for (const auto& group : o_.groups) {
      add(group);
    }
    if (o_.descriptors > 0) {
      limit_descriptors(o_.descriptors);
    }
    for (auto& one : all_) {
      open(*one);
    }
    if (auto started = loop_->start(); !started) {
      complain("start", started.error().message());
      return 1;
    }
    auto last = steady::now();
    while (!ended_ && !terminated) {
      listen();
      const auto now = steady::now();
      for (auto& one : all_) {
        if (now - last > stopped_ourselves) {
          one->excuse(now);
        }
        one->tick(now);
        if (one->hangs(now, std::chrono::duration_cast<steady::duration>(
                                std::chrono::duration<double>(o_.hang_after_s)))) {
          hang(one->describe());
          one->excuse(now);
        }
      }
      last = now;
      tell();
    }
    end();
    const auto s = loop_->stats();
    static_cast<void>(loop_->shut_down(5s));
    for (auto& one : all_) {
      one->expect_all_told();
    }
    participant::counts sum;
    for (auto& one : all_) {
      const auto c = one->so_far();
      sum.sent += c.sent;
      sum.delivered += c.delivered;
      sum.views += c.views;
      sum.losses += c.losses;
      sum.leases += c.leases;
      sum.refused += c.refused;
      sum.confirmed += c.confirmed;
      sum.unsent += c.unsent;
      sum.unknown += c.unknown;
    }
    say(
        fmt::format("done sent={} delivered={} views={} losses={} leases={} refused={} overflows={} "
                    "copied_out={} confirmed={} unsent={} unknown={}",
                    sum.sent, sum.delivered, sum.views, sum.losses, sum.leases, sum.refused, s.overflows,
                    s.total.copied_out, sum.confirmed, sum.unsent, sum.unknown));
    return failed_ ? 1 : 0;
  }

 private:
  void say(const std::string& line) {
    const std::lock_guard guard(out_);
    const auto whole = line + "\n";
    if (::write(STDOUT_FILENO, whole.data(), whole.size()) < 0) {
      terminated = true;
    }
  }
  void complain(const char* what, const std::string& text) {
    failed_ = true;
    if (++complaints_ <= 20) {
      say(fmt::format("violation {}: {}", what, text));
    }
  }
  void hang(const std::string& text) {
    failed_ = true;
    say("hang " + text);
  }

  void add(const std::string& group) {
    auto one = o_.one;
    const auto index = all_.size();
    one.handle.service = o_.service;
    one.handle.group = group;
    // A process may be in a group once; further handles use made-up process ids.
    const auto here = in_group_[group]++;
    cpgring::testing::simulate_pid(
        one.handle,
        here == 0 ? 0 : static_cast<std::uint32_t>(10000000 + o_.number * handles_of_a_member + index));
    one.node = o_.node;
    one.first_life = (o_.number * handles_of_a_member + index) * lives_of_a_handle;
    one.history = fmt::format("{}/{}--m{}h{}.history", o_.folder, group, o_.number, index);
    if (index != 0) {
      one.spoil = plant::nothing;
    }
    all_.push_back(std::make_unique<participant>(
        *loop_, one, random_(), [this](const char* what, const std::string& text) { complain(what, text); }));
  }
  void open(participant& one) {
    if (auto opened = one.open(); !opened) {
      complain("open", opened.error().message());
    }
  }

  static void limit_descriptors(int spare) {
    int used = 0;
    for (int fd = 0; fd < 1024; ++fd) {
      used = ::fcntl(fd, F_GETFD) >= 0 ? fd + 1 : used;
    }
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = static_cast<rlim_t>(used + spare);
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
  static void raise_descriptors() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }

  void listen() {
    pollfd in{STDIN_FILENO, POLLIN, 0};
    if (::poll(&in, 1, static_cast<int>(tick_interval.count())) <= 0) {
      return;
    }
    char bytes[4096];
    const auto got = ::read(STDIN_FILENO, bytes, sizeof bytes);
    if (got <= 0) {
      ended_ = true;
      return;
    }
    input_.append(bytes, static_cast<std::size_t>(got));
    for (std::size_t end; (end = input_.find('\n')) != std::string::npos; input_.erase(0, end + 1)) {
      obey(input_.substr(0, end));
    }
  }

  void obey(const std::string& line) {
    std::istringstream words(line);
    std::string word;
    words >> word;
    if (word == "stop") {
      ended_ = true;
    } else if (word == "finish") {
      raise_descriptors();
      std::map<std::string, std::size_t> expected;
      while (words >> word) {
        const auto at = word.find('=');
        expected[word.substr(0, at)] = std::stoul(word.substr(at + 1));
      }
      for (std::size_t i = 0; i < all_.size(); ++i) {
        all_[i]->finish(expected[group_of(i)]);
      }
      finishing_ = true;
    } else if (word == "open") {
      words >> word;
      o_.groups.push_back(word);
      add(word);
      open(*all_.back());
    } else if (word == "dump") {
      for (auto& one : all_) {
        say("state " + one->describe());
      }
    } else {
      complain("command", line);
    }
  }
  const std::string& group_of(std::size_t index) const { return o_.groups[index]; }

  void tell() {
    const auto every = [this](auto holds) {
      return std::all_of(all_.begin(), all_.end(), [&](auto& one) { return ((*one).*holds)(); });
    };
    if (!said_joined_ && every(&participant::is_joined)) {
      said_joined_ = true;
      say("joined");
    }
    if (finishing_ && every(&participant::finished)) {
      finishing_ = false;
      say("finished");
    }
  }

  /// Waits a limited time; a service that does not answer is a hang.
  void wait_for(const char* what, bool (participant::*holds)()) {
    const auto until = steady::now() + std::chrono::duration_cast<steady::duration>(
                                           std::chrono::duration<double>(o_.hang_after_s));
    for (auto& one : all_) {
      while (!((*one).*holds)()) {
        one->tick(steady::now());
        if (steady::now() > until) {
          hang(fmt::format("at its end, {}: {}", what, one->describe()));
          return;
        }
        ::usleep(500);
      }
    }
  }

  void end() {
    for (auto& one : all_) {
      one->stop_sending();
    }
    wait_for("messages are in flight", &participant::idle);
    if (o_.leaves_at_end) {
      for (auto& one : all_) {
        one->leave();
      }
      wait_for("it does not leave", &participant::left_or_away);
    }
    for (auto& one : all_) {
      one->close();
    }
    wait_for("it does not close", &participant::closed);
  }

  options o_;
  std::mt19937_64 random_;
  std::mutex out_;
  std::atomic<bool> failed_{false};
  std::atomic<int> complaints_{0};
  bool ended_ = false, said_joined_ = false, finishing_ = false;
  std::string input_;
  std::map<std::string, std::size_t> in_group_;
  std::vector<std::unique_ptr<participant>> all_;
  std::unique_ptr<engine> loop_;  // destroyed first
};

template <class T>
void choice(CLI::App& app, const char* name, T& into, const std::map<std::string, T>& words) {
  std::vector<std::string> names;
  for (const auto& one : words) {
    names.push_back(one.first);
  }
  app.add_option_function<std::string>(name,
                                       [&into, words](const std::string& word) { into = words.at(word); })
      ->check(CLI::IsMember(names));
}

int main_of(int argc, char** argv) {
  options o;
  CLI::App app{"A member of the fault campaign"};
  app.add_option("--service", o.service);
  app.add_option("--folder", o.folder, "folder of the histories")->required();
  app.add_option("--group", o.groups, "a group, with one handle")->required();
  app.add_option("--number", o.number, "unique number of this member in the run")->required();
  app.add_option("--node", o.node);
  app.add_option("--seed", o.seed);
  app.add_option("--hang-after", o.hang_after_s, "seconds without a delivered message");
  app.add_option("--descriptors", o.descriptors, "free descriptors until the faults end");
  app.add_flag("--leave", o.leaves_at_end);
  app.add_flag("--crowd", o.one.crowd, "the service adds made-up members, which are not waited for");
  choice<wakeup>(app, "--wakeup", o.engine.wakeup_backend,
                 {{"automatic", wakeup::automatic}, {"futex", wakeup::futex}, {"epoll", wakeup::epoll}});
  choice<idle>(
      app, "--idle", o.engine.idle_strategy,
      {{"block", idle::block}, {"adaptive", idle::adaptive}, {"spin", idle::spin}, {"yield", idle::yield}});
  choice<ordering>(app, "--order", o.one.handle.order,
                   {{"by_handle", ordering::by_handle},
                    {"by_sender", ordering::by_sender},
                    {"unordered", ordering::unordered}});
  choice<overload>(app, "--overload", o.one.handle.when_overloaded,
                   {{"hold", overload::hold}, {"copy_out", overload::copy_out}});
  app.add_option("--workers", o.engine.workers);
  app.add_option("--worker-queue", o.engine.worker_queue);
  app.add_option("--reactors", o.engine.reactors);
  app.add_option("--handles-expected", o.engine.handles_expected);
  app.add_option("--ring-bytes", o.one.handle.ring_bytes);
  app.add_option("--queue-bytes", o.one.handle.supervision.queue_bytes);
  app.add_option("--rate", o.one.messages_a_second);
  app.add_option("--in-flight", o.one.in_flight_max);
  app.add_option("--message-max", o.one.message_max);
  app.add_option("--large-share", o.one.large_share);
  app.add_flag("--drive", o.one.drives_itself);
  app.add_option("--restless", o.one.restless_ms);
  app.add_option("--away", o.one.away_ms);
  app.add_option("--lease-share", o.one.lease_share);
  std::int64_t slow_us = 0, backoff_max_ms = 200;
  app.add_option("--slow", slow_us);
  app.add_option("--backoff-max", backoff_max_ms);
  choice<plant>(app, "--plant", o.one.spoil,
                {{"drop", plant::drop}, {"double", plant::duplicate}, {"swap", plant::swap}});
  CLI11_PARSE(app, argc, argv);
  o.one.slow = std::chrono::microseconds(slow_us);
  o.one.handle.supervision.reconnect = true;
  o.one.handle.supervision.backoff_min = 5ms;
  o.one.handle.supervision.backoff_max = std::chrono::milliseconds(backoff_max_ms);
  ::signal(SIGTERM, [](int) { terminated = true; });
  ::signal(SIGPIPE, SIG_IGN);
  try {
    return member(std::move(o)).run();
  } catch (const std::exception& e) {
    fmt::print(stderr, "campaign member: {}\n", e.what());
    return 2;
  }
}

}  // namespace
}  // namespace cpgring::campaign

int main(int argc, char** argv) { return cpgring::campaign::main_of(argc, argv); }
