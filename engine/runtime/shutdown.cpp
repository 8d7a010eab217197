#include "runtime/shutdown.hpp"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "dispatch/worker_pool.hpp"

namespace cpgring::runtime {

void shutdown::sleep(std::chrono::microseconds span) { std::this_thread::sleep_for(span); }

shutdown_report shutdown::run(dispatch::worker_pool* workers, base::time_point until) {
  // All shards are stopped before one is woken: a thread that returns from run() finds every call refused.
  for (const auto& one : all_) {
    one->request_stop();
  }
  for (const auto& one : all_) {
    one->stop();
  }
  for (const auto& one : all_) {
    end_driving(*one);
  }
  if (workers != nullptr) {
    workers->stop();
  }
  for (const auto& one : all_) {
    begin_closing(*one, until);
  }
  shutdown_report report;
  report.unanswered = wait_for_answers(until);
  if (report.unanswered != 0) {
    all_.front()->log(log_level::warning,
                      fmt::format("{} handles were closed before their service had taken everything: "
                                  "it did not answer within the deadline",
                                  report.unanswered));
  }
  for (const auto& one : all_) {
    end_closing(*one, report);
  }
  return report;
}

/// After this the thread has ended, and no other thread wakes the reactor.
void shutdown::end_driving(shard& one) {
  {
    const std::lock_guard lock(one.life_);
    if (one.thread_.joinable()) {
      one.thread_.join();
    }
  }
  one.visited_.close();
}

/// Destroys the reactor, and asks every service for FINALIZE.
void shutdown::begin_closing(shard& one, base::time_point until) {
  one.shared_.clock.update();
  if (one.shared_.workers) {
    one.shared_.workers->workers_ended();
    one.shared_.workers->take_reports();
    for (auto& [key, each] : one.links_) {
      each.which->forget_workers();
    }
  }
  one.take_last_records();
  one.flush_dirty();
  for (auto& [key, each] : one.links_) {
    each.which->forget_reactor();
  }
  one.loss_log_.finish();
  one.reactor_.reset();  // before the alarms, to which its queue refers
  one.alarms_.forget_all();
  for (auto& [key, each] : one.links_) {
    each.which->begin_blocking_close(until);
  }
}

std::size_t shutdown::still_closing(shard& one) {
  return static_cast<std::size_t>(std::count_if(one.links_.begin(), one.links_.end(), [](auto& each) {
    return !each.second.which->blocking_close_done();
  }));
}

/// Returns how many links got no answer.
std::size_t shutdown::wait_for_answers(base::time_point until) {
  auto pause = std::chrono::microseconds(20);
  for (;;) {
    std::size_t open = 0;
    for (const auto& one : all_) {
      open += still_closing(*one);
    }
    if (open == 0 || all_.front()->shared().clock.read() >= until) {
      return open;
    }
    pause_(pause);  // no wake-up announces answers here
    pause = std::min(pause * 2, std::chrono::microseconds(1000));
  }
}

/// Drops every connection, answered or not, counts what was not sent, and calls completions that are due.
void shutdown::end_closing(shard& one, shutdown_report& report) {
  report.handles += one.registry_.size();
  std::vector<shard::owned_link> links;
  for (auto& [key, each] : one.links_) {
    links.push_back(std::move(each));
  }
  one.links_.clear();
  std::sort(links.begin(), links.end(), [](const auto& a, const auto& b) { return a.of->id() < b.of->id(); });
  const handle_core* last = nullptr;
  for (auto& each : links) {
    if (std::exchange(last, each.of.get()) != each.of.get()) {
      each.of->count_unsent(report);
      each.of->report_remaining();
    }
  }
  for (auto& each : links) {
    each.which->forget_workers();
    each.which->drop_connection();
    each.which->forget_requests();
  }
  one.tasks_.clear();
  one.queued_.clear();
  one.dirty_.clear();
  one.ended_.clear();
  one.shared_.workers.reset();  // its remaining calls refer to handles, and these to the shard
  for (auto& each : links) {
    each.of->forget_link(*each.which);
    each.which.reset();
  }
  {
    const std::lock_guard lock(one.registry_lock_);
    one.registry_.clear();
  }
}

}  // namespace cpgring::runtime
