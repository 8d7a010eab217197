#include "support/world.hpp"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include <fmt/format.h>

namespace cpgring::test {
namespace {

const char* named_service() { return std::getenv("CPGRING_TEST_SERVICE"); }

}  // namespace

bool eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + patience;
  bool holds = false;
  while (!(holds = condition()) && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  return holds;
}

bool drive(engine& loop, const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) {
      return false;
    }
    // Bounded, so that `condition` is checked again even if no event of this engine causes it.
    auto did = loop.dispatch(mode::blocking, budget{64, 0, std::chrono::milliseconds(5)});
    if (!did) {
      return condition();
    }
  }
  return true;
}

bool world::embedded() { return named_service() == nullptr; }

world::world(wakeup backend, std::function<void(engine_options&)> adjust, bool can_go_bad) {
  if (embedded()) {
    embedded_service_options o;
    o.log = [this](log_level level, std::string_view text) {
      note(fmt::format("service: {}: {}", to_string(level), text));
    };
    if (can_go_bad) {
      o.interceptor = injector_ = cpgring::testing::fault_injector::create().value();
    }
    service_ = std::make_unique<embedded_service>(std::move(o));
    service_name_ = service_->name();
  } else {
    service_name_ = named_service();
  }
  engine_options o;
  o.wakeup_backend = backend;
  o.log = [this](log_level level, std::string_view text) {
    note(fmt::format("{}: {}", to_string(level), text));
  };
  if (adjust) {
    adjust(o);
  }
  engine_ = std::make_unique<engine>(std::move(o));
}

world::~world() {
  engine_.reset();
  service_.reset();
  if (::testing::Test::HasFailure()) {
    for (const auto& line : log()) {
      std::printf("log: %s\n", line.c_str());
    }
  }
}

void world::note(std::string line) {
  const std::lock_guard lock(log_lock_);
  log_.push_back(std::move(line));
}

std::vector<std::string> world::log() const {
  const std::lock_guard lock(log_lock_);
  return log_;
}

bool world::said(std::string_view part) const {
  const auto lines = log();
  return std::any_of(lines.begin(), lines.end(),
                     [part](const auto& line) { return line.find(part) != std::string::npos; });
}

handle_options world::options(std::string group) const {
  handle_options o;
  o.service = service_name_;
  o.ring_bytes = 65536;
  o.group = std::move(group);
  o.connect_deadline = patience;
  o.control_deadline = patience;
  return o;
}

std::string world::fresh_group(std::string_view stem) {
  static std::atomic<unsigned> next{0};
  return fmt::format("{}-{}-{}", stem, ::getpid(), ++next);
}

bool world::until(const std::function<bool()>& condition) { return drive(*engine_, condition); }

callbacks witness::record() {
  callbacks c;
  c.on_message = [this](handle&, const message& m) {
    messages.emplace_back(m.text());
    sequences.push_back(m.sequence());
    all.push_back(fmt::format("message {}", m.text().substr(0, 40)));
  };
  c.on_view = [this](handle&, const view& v) {
    std::string line = fmt::format("{}:", v.number);
    for (const member& m : v.members) {
      line += fmt::format(" {}", m.pid);
    }
    for (const member& m : v.joined) {
      line += fmt::format(" +{}", m.pid);
    }
    for (const member& m : v.left) {
      line += fmt::format(" -{}/{}", m.pid, to_string(m.why));
    }
    if (v.cause == view_cause::ring) {
      line += " ring";
    }
    ring_nodes = v.ring_nodes.size();
    all.push_back("view " + line);
    views.push_back(std::move(line));
  };
  c.on_state = [this](handle&, const state_change& s) {
    states.push_back(s.to);
    if (s.cause != nullptr) {
      causes.push_back(*s.cause);
    }
    all.push_back(fmt::format("state {}", to_string(s.to)));
  };
  c.on_writable = [this](handle&) { ++writable; };
  c.on_aborted = [this](handle&, const aborted_message& a) {
    aborted.push_back(fmt::format("{} of {}", a.bytes_received, a.bytes_announced));
  };
  return c;
}

void open_joined(world& w, witness& into, const std::string& group, std::uint32_t pid,
                 std::function<void(handle_options&)> adjust) {
  handle_options o = w.options(group);
  cpgring::testing::simulate_pid(o, pid);
  if (adjust) {
    adjust(o);
  }
  auto opened = w.loop().open(o, into.record());
  ASSERT_TRUE(opened) << opened.error().message();
  into.self = *opened;
  ASSERT_TRUE(w.until([&] {
    return (into.is(handle_state::joined) && into.ring_nodes != 0) || into.is(handle_state::lost);
  }));
  ASSERT_TRUE(into.is(handle_state::joined))
      << (into.causes.empty() ? "no cause" : into.causes.back().message());
}

std::vector<wakeup> backends_here() {
  switch (engine::probe().backend) {
    case wakeup::automatic:
    case wakeup::futex: return {wakeup::futex, wakeup::epoll};
    case wakeup::epoll: break;
  }
  return {wakeup::epoll};
}

std::string backend_name(const ::testing::TestParamInfo<wakeup>& info) {
  return std::string(to_string(info.param));
}

}  // namespace cpgring::test
