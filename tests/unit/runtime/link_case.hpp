// A link without shard and handle: recording host and owner, manual clock, in-process service.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "delivery/shard_resources.hpp"
#include "dispatch/deliver.hpp"
#include "dispatch/worker_client.hpp"
#include "reactor/reactor.hpp"
#include "runtime/link.hpp"
#include "support/hand_driven_worker.hpp"
#include "support/in_process_listener.hpp"
#include "support/manual_clock.hpp"

namespace cpgring::runtime::test {

using cpgring::test::hand_driven_worker;
using cpgring::test::honest_answers;
using cpgring::test::in_process_listener;
using cpgring::test::in_process_service;
using cpgring::test::manual_clock;

class recording_host final : public link_host {
 public:
  reactor::reactor& loop() noexcept override { return *reactor_of; }
  void log(log_level /*level*/, std::string_view text) const override { lines.emplace_back(text); }
  void handshake_ended() override { ++handshakes_ended; }
  void add_task(link& /*of*/, function<void()> task) override { tasks.push_back(std::move(task)); }
  void mark_dirty(link& which) override { dirty.push_back(&which); }
  void flush_dirty() override {
    for (link* one : std::exchange(dirty, {})) {
      one->ring_doorbell();
    }
  }
  void sweep_later(link& which) override {
    if (which.mark_for_sweep()) {
      to_sweep.push_back(&which);
    }
  }
  void sweep() {
    for (link* one : std::exchange(to_sweep, {})) {
      one->sweep();
    }
  }

  std::unique_ptr<reactor::reactor> reactor_of;
  std::deque<function<void()>> tasks;
  std::vector<link*> dirty, to_sweep;
  int handshakes_ended = 0;
  mutable std::vector<std::string> lines;
};

class recording_owner final : public link_owner {
 public:
  after_loss connection_lost(link& which, const error& why) override {
    was_connected = which.was_connected();
    causes.push_back(why);
    log.emplace_back("connection_lost");
    return {again, again && keeps_unwritten};
  }
  void loss_reported(link& /*which*/, bool /*again*/) override { log.emplace_back("loss_reported"); }
  void closing(link& /*which*/, const std::optional<error>& cause) override {
    log.emplace_back(cause ? "closing, with a cause" : "closing");
  }
  void closed(link& /*which*/) override { log.emplace_back("closed"); }
  void connected(link& /*which*/) override { log.emplace_back("connected"); }
  void answered(link& /*which*/) override { log.emplace_back("answered"); }
  void changed(link& which) override {
    ++changes;
    state = which.session().state();
  }
  restoration restored(const link& /*which*/) override { return {2, std::chrono::seconds(1)}; }
  void joins(std::string_view group) override { groups.emplace_back(group); }
  bool release(const link& /*which*/) noexcept override { return releases; }

  bool again = false, keeps_unwritten = false;  // result of connection_lost()
  bool releases = true;                         // result of release()
  bool was_connected = false;                   // when the connection was lost
  std::vector<std::string> log;
  std::vector<error> causes;
  int changes = 0;                    // calls of changed()
  std::optional<handle_state> state;  // at the last changed()
  std::vector<std::string> groups;    // that the link joined by itself
};

struct link_case {
  static constexpr std::uint32_t pid = 77;
  static constexpr std::chrono::milliseconds connect_deadline{10000}, close_deadline{2000};

  /// `workers`: 0 for callbacks on the reactor's thread.
  explicit link_case(std::uint32_t workers = 0) {
    reactor::reactor_options o;
    o.backend = wakeup::epoll;
    o.clock = &shared.clock;
    host.reactor_of = std::move(reactor::reactor::create(std::move(o)).value());
    host.reactor_of->reap();
    if (workers != 0) {
      pool = std::make_shared<dispatch::worker_pool>(dispatch::worker_pool::shape{workers, 1, 64, {}});
      shared.workers = std::make_unique<dispatch::worker_client>(pool, 0, [] {});
      for (std::uint32_t i = 0; i < workers; ++i) {
        hands.emplace_back(pool->link(0, i));
      }
    }
    options.ring_bytes = in_process_service::default_ring_bytes;
    options.connect_deadline = connect_deadline;
    options.service = listener.name();
    calls.on_state = [this](handle&, const state_change& s) {
      log.push_back(std::string(to_string(s.from)) + " -> " + std::string(to_string(s.to)));
    };
    calls.on_message = [this](handle&, const message& m) { log.emplace_back(m.text()); };
  }
  ~link_case() {
    if (made && made->at() != phase::gone) {
      made->forget_workers();
      made->forget_reactor();
      host.reactor_of.reset();
      made->drop_connection();
      made->forget_requests();
    }
  }

  // --- phases
  void make(link::beginning with = {}) {
    with.pid = pid;
    with.close_deadline = close_deadline;
    with.handle_id = 1;
    made = std::make_unique<link>(host, owner, shared, queue, who, std::move(with));
  }
  void begin() { made->begin(manual_clock::read() + connect_deadline); }
  /// The service accepts the client and answers its handshake; the reactor reads the answer.
  void connect() {
    service = listener.accept();
    ASSERT_NE(service, nullptr);
    service->answer_handshake();
    host.reactor_of->reap();
  }
  /// Runs rounds of the reactor; the service answers after each.
  void rounds(int count = 3) {
    for (int i = 0; i < count; ++i) {
      round();
      if (service) {
        answers.serve(*service);
      }
    }
  }
  void round() {
    host.reactor_of->reap();
    host.reactor_of->serve({});
    host.flush_dirty();
    host.sweep();
  }
  /// Brings the link to phase `to`, joined to a group in phase live; then clears everything recorded so far.
  void bring_to(phase to) {
    make();
    if (to != phase::queued) {
      begin();
    }
    if (to > phase::handshaking) {
      connect();
      ASSERT_TRUE(made->join("g", {}));
      for (int i = 0; i < 8; ++i) {
        rounds(1);
        hear();
      }
      ASSERT_EQ(made->session().state(), handle_state::joined);
    }
    if (to == phase::lingering) {
      made->close();
    } else if (to > phase::lingering) {
      made->lose(error(errc::service_lost));
    }
    if (to != phase::draining) {
      hear();
    }
    if (to == phase::gone) {
      host.sweep();
    }
    ASSERT_EQ(made->at(), to);
    forget();
  }
  /// Clears everything recorded so far.
  void forget() {
    log.clear();
    owner.log.clear();
    owner.causes.clear();
    answers.requests.clear();
    host.handshakes_ended = 0;
  }
  /// Runs tasks and workers until nothing is left.
  void hear() {
    do {
      while (!host.tasks.empty()) {
        auto one = std::move(host.tasks.front());
        host.tasks.pop_front();
        static_cast<void>(dispatch::deliver(one));
      }
    } while (run_workers() || !host.tasks.empty());
  }
  bool run_workers() {
    bool any = false;
    if (shared.workers) {
      for (auto& one : hands) {
        any = one.run_calls() + one.run_messages() != 0 || any;
      }
      shared.workers->take_reports();
    }
    return any;
  }
  void multicast(std::string_view text) {
    const auto bytes = std::as_bytes(std::span(text.data(), text.size()));
    const std::span<const std::byte> whole[] = {bytes};
    ASSERT_TRUE(made->session().multicasts().multicast(whole, bytes.size()));
  }
  void send(std::string_view text) { service->send_event(cpgring::test::message_event("g", 5, text)); }

  manual_clock clock;
  in_process_listener listener;
  std::unique_ptr<in_process_service> service;
  honest_answers answers;
  callbacks calls;
  handle_options options;
  delivery::handle_counters counters;
  delivery::recipient who{calls, options, counters, {}};
  std::shared_ptr<dispatch::worker_pool> pool;
  delivery::shard_resources shared{nullptr, &manual_clock::read};
  std::vector<hand_driven_worker> hands;
  cpg::multicast_pool multicasts;
  cpg::send_queue queue{{options.send_queue_bytes, 0, options.large_message_max,
                         cpg::send_limits::atomic_max_of(in_process_service::default_ring_bytes)},
                        multicasts};
  recording_host host;
  recording_owner owner;
  std::unique_ptr<link> made;
  std::vector<std::string> log;  // calls of user callbacks
};

}  // namespace cpgring::runtime::test
