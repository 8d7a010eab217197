#include <cpgring/engine.hpp>

#include <utility>

#include "api/engine_impl.hpp"
#include "base/hot.hpp"
#include "reactor/probe.hpp"
#include "runtime/handle_core.hpp"

namespace cpgring {
send_batch::send_batch(std::shared_ptr<runtime::shard> core) noexcept : core_(std::move(core)) {
  if (core_) {
    core_->begin_batch();
  }
}
send_batch::send_batch(send_batch&& other) noexcept : core_(std::move(other.core_)) {}
send_batch& send_batch::operator=(send_batch&& other) noexcept {
  std::swap(core_, other.core_);
  return *this;
}
send_batch::~send_batch() {
  if (core_) {
    core_->end_batch();
  }
}

result<engine> engine::create(engine_options options) {
  if (auto ok = options.validate(); !ok) {
    return fail(std::move(ok.error()));
  }
  return engine(std::make_unique<runtime::engine_impl>(std::move(options)));
}

engine::engine(engine_options options) : engine(create(std::move(options)).value()) {}
engine::engine(std::unique_ptr<runtime::engine_impl> impl) noexcept : impl_(std::move(impl)) {}
engine::engine(engine&& other) noexcept = default;
engine& engine::operator=(engine&& other) noexcept {
  engine old(std::move(*this));
  impl_ = std::move(other.impl_);
  return *this;
}
engine::~engine() {
  if (impl_) {
    impl_->end();
  }
}
shutdown_report engine::shut_down(std::chrono::milliseconds deadline) { return impl_->shut_down(deadline); }

result<handle> engine::open(handle_options options, callbacks calls) {
  return open_shared(std::move(options), std::make_shared<const callbacks>(std::move(calls)));
}

result<handle> engine::open_shared(handle_options options, std::shared_ptr<const callbacks> calls) {
  if (auto ok = options.validate(); !ok) {
    return fail(std::move(ok.error()));
  }
  auto opened = impl_->open(std::move(options), std::move(calls));
  if (!opened) {
    return fail(opened.error());
  }
  return handle(std::move(*opened));
}

result<void> engine::start() { return impl_->start(); }

result<void> engine::run() { return impl_->run(); }

CPGRING_HOT result<dispatched> engine::dispatch(mode how, budget limit) {
  return impl_->dispatch(how, limit);
}
result<dispatched> engine::poll_once(budget limit) { return impl_->dispatch(mode::all, limit); }
result<int> engine::fd() { return impl_->fd(); }
void engine::stop() noexcept { impl_->stop(); }
bool engine::stopped() const noexcept { return impl_->stop_requested(); }
result<void> engine::post(function<void()> task) { return impl_->post(std::move(task)); }
result<scheduled_task> engine::after(std::chrono::nanoseconds delay, function<void()> task) {
  if (delay.count() < 0) {
    return fail(errc::invalid_param, fmt::format("a delay of {} ns is negative", delay.count()));
  }
  return at(base::later(base::clock::now(), delay), std::move(task));
}
result<scheduled_task> engine::at(std::chrono::steady_clock::time_point when, function<void()> task) {
  return impl_->schedule(when, base::nanoseconds(0), std::move(task));
}
result<scheduled_task> engine::every(std::chrono::nanoseconds interval, function<void()> task) {
  if (interval.count() <= 0) {
    return fail(errc::invalid_param, fmt::format("an interval of {} ns is not above 0", interval.count()));
  }
  return impl_->schedule(base::later(base::clock::now(), interval), interval, std::move(task));
}
void scheduled_task::cancel() noexcept {
  if (const auto core = core_.lock(); core && state_) {
    core->cancel(state_);
  }
}
send_batch engine::batch() noexcept { return send_batch(impl_->shard_of_this_thread()); }
std::vector<handle> engine::handles() const {
  std::vector<handle> all;
  for (auto& one : impl_->handles()) {
    all.push_back(handle(std::move(one)));
  }
  return all;
}
engine_stats engine::stats() const noexcept { return impl_->stats(); }

probe_report engine::probe() { return reactor::probe(); }

}  // namespace cpgring
