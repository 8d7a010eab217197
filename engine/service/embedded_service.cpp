// Implements embedded_service: one thread that runs an event loop with a CPG server.
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <ctime>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include <fmt/format.h>

#include <cpgring/service.hpp>

#include "base/fork_guard.hpp"
#include "base/guarded_log.hpp"
#include "base/limits.hpp"
#include "base/own_thread.hpp"
#include "service/admission.hpp"
#include "service/cfg_server.hpp"
#include "service/client_gate.hpp"
#include "service/cpg_server.hpp"
#include "service/event_loop.hpp"
#include "service/server_controls.hpp"
#include "service/service_log.hpp"

namespace cpgring {
namespace {

std::string name_of(const embedded_service_options& options) {
  static std::atomic<unsigned> next{0};
  return options.name.empty()
             ? fmt::format("cpgring-{}-{}", ::getpid(), next.fetch_add(1, std::memory_order_relaxed) + 1)
             : options.name;
}

result<void> check(const embedded_service_options& options) {
  if (options.name.size() > 100) {
    return fail(errc::invalid_param, "embedded_service_options::name has more than 100 bytes");
  }
  if (options.name.find('\0') != std::string::npos || options.name.find('/') != std::string::npos) {
    return fail(errc::invalid_param, "embedded_service_options::name contains a '/' or a NUL byte");
  }
  if (options.node_id == 0) {
    return fail(errc::invalid_param, "embedded_service_options::node_id is 0, which means 'none'");
  }
  return {};
}

embedded_service_options guarded(embedded_service_options options, const base::log_failures& failures) {
  options.log = base::guarded_log(std::move(options.log), log_level::debug, failures);
  return options;
}

}  // namespace

struct embedded_service::impl {
  explicit impl(embedded_service_options given)
      : options(guarded(std::move(given), log_failures)),
        name(name_of(options)),
        controls(options.interceptor == nullptr ? nullptr : std::make_shared<service::server_controls>()) {}

  void run(std::promise<result<void>> started) {
    ::pthread_setname_np(::pthread_self(), "cpgring-service");
    service::service_log log(options.log, loop);
    service::cpg_server server(options, name, loop, log, counters);
    service::cfg_server tools(options, loop);
    loop.enter();
    std::optional<service::client_gate> gate;
    auto up = server.listen();
    if (up && name == "cpg") {
      if (auto also = tools.listen(); !also) {
        log.say(log_level::warning,
                fmt::format("corosync's tools will not list this service: {}", also.error().message()));
      }
    }
    if (up) {
      up = open(server, tools, log, gate);
    }
    if (up) {
      up = attach(server, log);
    }
    const bool runs = up.has_value();
    started.set_value(std::move(up));
    if (runs) {
      loop.run();
      detach(server);
    }
    if (gate) {
      gate->close();
    }
    tools.close();
    server.close();
    log.finish();
  }

  /// Called when the names are bound. Switches to the configured user, then lets clients in.
  result<void> open(service::cpg_server& server, service::cfg_server& tools, service::service_log& log,
                    std::optional<service::client_gate>& gate) {
    if (!options.user.empty()) {
      if (auto ok = service::become(options.user); !ok) {
        return ok;
      }
      if (auto ok = loop.renew_credentials(); !ok) {
        return ok;
      }
    }
    auto rules = service::admission::make(options, service::identity::own());
    if (!rules) {
      return fail(std::move(rules.error()));
    }
    gate.emplace(std::move(*rules), loop, log);
    server.open_to(*gate);
    tools.open_to(*gate);
    return {};
  }

  /// The controls accept tasks from here on. If this succeeds the loop runs next, so each such task is
  /// executed.
  result<void> attach(service::cpg_server& server, service::service_log& log) {
    if (controls == nullptr) {
      return {};
    }
    controls->open(loop, server, log);
    if (auto ok = options.interceptor->attached(controls); !ok) {
      controls->close();
      return ok;
    }
    server.set_interceptor(options.interceptor.get());
    return {};
  }

  void detach(service::cpg_server& server) {
    if (controls != nullptr) {
      server.set_interceptor(nullptr);
      options.interceptor->detached();
      controls->close();
    }
  }

  const base::log_failures log_failures = std::make_shared<std::atomic<std::uint64_t>>(0);
  const embedded_service_options options;
  const std::string name;
  const std::shared_ptr<service::server_controls> controls;  // null: no interceptor
  service::server_counters counters;
  service::event_loop loop;
  std::thread thread;
  std::mutex stopping;
  base::fork_guard parent;
  std::atomic<std::int64_t> cpu_at_end{-1};
};

result<embedded_service> embedded_service::create(embedded_service_options options) {
  if (auto ok = check(options); !ok) {
    return fail(std::move(ok.error()));
  }
  std::unique_ptr<impl> made;
  try {
    made = std::make_unique<impl>(std::move(options));
    // No file descriptor was left for the event loop.
  } catch (const std::system_error& e) {
    return fail(error(e.code(), e.what()));
  }
  std::promise<result<void>> started;
  auto outcome = started.get_future();
  try {
    made->thread = base::start_own_thread(
        [&service = *made, started = std::move(started)]() mutable { service.run(std::move(started)); });
  } catch (const std::system_error& e) {
    return fail(base::thread_refused(e.code().value(), "starting the service's thread"));
  }
  if (auto ok = outcome.get(); !ok) {
    made->thread.join();
    return fail(std::move(ok.error()));
  }
  return embedded_service(std::move(made));
}

embedded_service::embedded_service(embedded_service_options options)
    : embedded_service(create(std::move(options)).value()) {}
embedded_service::embedded_service(std::unique_ptr<impl> made) noexcept : impl_(std::move(made)) {}
embedded_service::embedded_service(embedded_service&& other) noexcept = default;
embedded_service& embedded_service::operator=(embedded_service&& other) noexcept {
  embedded_service old(std::move(*this));
  impl_ = std::move(other.impl_);
  return *this;
}

embedded_service::~embedded_service() {
  if (!impl_) {
    return;
  }
  // The service's thread cannot join itself. It gets here if a log callback destroys the service, most likely
  // by calling exit().
  if (impl_->parent.in_child() || service::event_loop::current() == &impl_->loop) {
    base::forsake(std::move(impl_));
    return;
  }
  stop();
}

const std::string& embedded_service::name() const noexcept { return impl_->name; }

embedded_service_stats embedded_service::stats() const noexcept {
  const auto& c = impl_->counters;
  embedded_service_stats s;
  s.connections = c.connections.get();
  s.connections_total = c.connections_total.get();
  s.requests = c.requests.get();
  s.multicasts = c.multicasts.get();
  s.events = c.events.get();
  s.events_queued = c.events_queued.get();
  s.backlog_bytes = c.backlog_bytes.get();
  s.members_disconnected = c.members_disconnected.get();
  s.requests_refused = c.requests_refused.get();
  s.log_failures = impl_->log_failures->load(std::memory_order_relaxed);
  return s;
}

std::chrono::nanoseconds embedded_service::thread_cpu_time() const noexcept {
  const std::lock_guard lock(impl_->stopping);
  if (!impl_->thread.joinable()) {
    return std::chrono::nanoseconds(impl_->cpu_at_end.load(std::memory_order_relaxed));
  }
  clockid_t clock{};
  timespec used{};
  if (::pthread_getcpuclockid(impl_->thread.native_handle(), &clock) != 0 ||
      ::clock_gettime(clock, &used) != 0) {
    return std::chrono::nanoseconds(0);
  }
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

void embedded_service::stop() noexcept {
  if (impl_->parent.in_child()) {
    return;
  }
  const auto used = thread_cpu_time();
  const std::lock_guard lock(impl_->stopping);
  if (impl_->thread.joinable()) {
    impl_->loop.stop();
    impl_->thread.join();
    impl_->cpu_at_end.store(used.count(), std::memory_order_relaxed);
  }
}

}  // namespace cpgring
