// The public face of the service: one thread that runs an event loop with a CPG server on it.
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
#include "base/throw_error.hpp"
#include "service/admission.hpp"
#include "service/cfg_server.hpp"
#include "service/client_gate.hpp"
#include "service/cpg_server.hpp"
#include "service/event_loop.hpp"
#include "service/service_log.hpp"

namespace cpgring {
namespace {

std::string name_of(const embedded_service_options& options) {
  static std::atomic<unsigned> next{0};
  return options.name.empty() ? fmt::format("cpgring-{}-{}", ::getpid(), next.fetch_add(1, std::memory_order_relaxed) + 1) : options.name;
}

void check(const embedded_service_options& options) {
  const auto refuse = [](const char* what) { base::throw_error({errc::invalid_param, what}); };
  if (options.name.size() > 100) {
    refuse("embedded_service_options::name has more than 100 bytes");
  }
  if (options.name.find('\0') != std::string::npos || options.name.find('/') != std::string::npos) {
    refuse("embedded_service_options::name contains a '/' or a NUL byte");
  }
  if (options.node_id == 0) {
    refuse("embedded_service_options::node_id is 0, which means 'none'");
  }
  if (const auto ok = options.faults.validate(); !ok) {
    base::throw_error({ok.error().code, "embedded_service_options::faults: " + ok.error().message()});
  }
}

embedded_service_options guarded(embedded_service_options options, const base::log_failures& failures) {
  options.log = base::guarded_log(std::move(options.log), log_level::debug, failures);
  return options;
}

}  // namespace

struct embedded_service::impl {
  explicit impl(embedded_service_options given) : options(guarded(std::move(given), log_failures)), name(name_of(options)) {}

  void run(std::promise<result<void>> started) {
    ::pthread_setname_np(::pthread_self(), "cpgring-service");
    service::service_log log(options.log, loop);
    service::cpg_server server(options, name, loop, log, counters);
    service::cfg_server tools(options, loop);
    on_thread = &server;
    loop.enter();
    server.inject(options.faults);
    std::optional<service::client_gate> gate;
    auto up = server.listen();
    if (up && name == "cpg") {
      if (auto also = tools.listen(); !also) {
        log.say(log_level::warning, fmt::format("corosync's tools will not list this service: {}", also.error().message()));
      }
    }
    if (up) {
      up = open(server, tools, log, gate);
    }
    const bool runs = up.has_value();
    started.set_value(std::move(up));
    if (runs) {
      loop.run();
      gate->close();
    }
    tools.close();
    server.close();
    log.finish();
  }

  /// The names are bound; from here on clients come in.
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

  const base::log_failures log_failures = std::make_shared<std::atomic<std::uint64_t>>(0);
  const embedded_service_options options;
  const std::string name;
  service::server_counters counters;
  service::event_loop loop;
  service::cpg_server* on_thread = nullptr;  // of the service's thread, and alive as long as its loop runs
  std::thread thread;
  std::mutex stopping;
  base::fork_guard parent;
  std::atomic<std::int64_t> cpu_at_end{-1};
};

embedded_service::embedded_service(embedded_service_options options) {
  check(options);
  impl_ = std::make_unique<impl>(std::move(options));
  std::promise<result<void>> started;
  auto outcome = started.get_future();
  try {
    impl_->thread = base::start_own_thread([this, started = std::move(started)]() mutable { impl_->run(std::move(started)); });
  } catch (const std::system_error& e) {
    const error why = base::thread_refused(e.code().value(), "starting the service's thread");
    throw std::system_error(why.code, why.message());
  }
  if (auto ok = outcome.get(); !ok) {
    impl_->thread.join();
    base::throw_error(std::move(ok.error()));
  }
}

embedded_service::~embedded_service() {
  // In a log callback (exit() of the process, most likely) its own thread can't be waited for.
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
  const auto injected = [&](service::fault kind) { return c.injected[static_cast<std::size_t>(kind)].get(); };
  s.injected.torn_frames = injected(service::fault::torn_frame);
  s.injected.lying_frames = injected(service::fault::lying_frame);
  s.injected.late_doorbells = injected(service::fault::late_doorbell);
  s.injected.try_agains = injected(service::fault::try_again);
  s.injected.stalls = injected(service::fault::stall);
  s.injected.crowd_moves = injected(service::fault::crowd);
  s.injected.hang_ups = injected(service::fault::hang_up);
  s.injected.hang_ups_sender = injected(service::fault::hang_up_sender);
  s.injected.hang_ups_receiver = injected(service::fault::hang_up_receiver);
  return s;
}

std::chrono::nanoseconds embedded_service::thread_cpu_time() const noexcept {
  const std::lock_guard lock(impl_->stopping);
  if (!impl_->thread.joinable()) {
    return std::chrono::nanoseconds(impl_->cpu_at_end.load(std::memory_order_relaxed));
  }
  clockid_t clock{};
  timespec used{};
  if (::pthread_getcpuclockid(impl_->thread.native_handle(), &clock) != 0 || ::clock_gettime(clock, &used) != 0) {
    return std::chrono::nanoseconds(0);
  }
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

result<void> embedded_service::inject(service_faults faults) {
  if (impl_->parent.in_child()) {
    return fail(errc::forked, "the service runs in the parent process");
  }
  if (auto ok = faults.validate(); !ok) {
    return ok;
  }
  // From the log callback it can't be waited for: the service's thread would wait for itself.
  if (service::event_loop::current() == &impl_->loop) {
    if (!impl_->loop.post([this, faults] { impl_->on_thread->inject(faults); })) {
      return fail(errc::stopped, "the service has been stopped");
    }
    return {};
  }
  auto done = std::make_shared<std::promise<void>>();
  auto in_force = done->get_future();
  if (!impl_->loop.post([this, faults, done] {
        impl_->on_thread->inject(faults);
        done->set_value();
      })) {
    return fail(errc::stopped, "the service has been stopped");
  }
  in_force.wait();
  return {};
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
