// A pump and its lane without shard, link and reactor: a session with an in-process service, a manual clock
// and a recording listener.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "cpg/session.hpp"
#include "delivery/inline_lane.hpp"
#include "delivery/pump.hpp"
#include "delivery/worker_lane.hpp"
#include "dispatch/worker_client.hpp"
#include "dispatch/worker_pool.hpp"
#include "support/hand_driven_worker.hpp"
#include "support/in_process_listener.hpp"
#include "support/in_process_service.hpp"
#include "support/manual_clock.hpp"

namespace cpgring::delivery::test {

using cpgring::test::hand_driven_worker;
using cpgring::test::honest_answers;
using cpgring::test::in_process_service;
using cpgring::test::manual_clock;
using cpgring::test::message_event;

/// Records the reports of pump and lanes, and stops the pump as a link does.
class recording_listener final : public pump_listener {
 public:
  void lost(error why) override {
    losses.push_back(std::move(why));
    if (serving != nullptr) {
      serving->stop(true);
    }
  }
  void ended(error why) override {
    ends.push_back(std::move(why));
    if (serving != nullptr) {
      serving->stop(false);
    }
  }
  void publish() override { ++published; }
  void can_continue(bool turn_wanted) override {
    ++continues;
    turns_wanted += turn_wanted ? 1 : 0;
    if (turn_wanted && serving != nullptr) {
      serving->resume();
    }
  }
  restoration restored() override { return back; }

  pump* serving = nullptr;
  std::vector<error> losses, ends;
  int published = 0, continues = 0, turns_wanted = 0;
  restoration back{3, std::chrono::seconds(5)};
};

struct pump_case {
  static constexpr std::uint32_t own_pid = 77;
  static constexpr const char* group = "g";

  /// `workers`: 0 for the inline lane. `queue`: capacity of each worker's queue.
  explicit pump_case(handle_options with = {}, std::uint32_t workers = 0, std::size_t queue = 64,
                     std::uint32_t ring_bytes = in_process_service::default_ring_bytes)
      : options(std::move(with)), ring_bytes_used(ring_bytes), service(ring_bytes), workers_used(workers) {
    if (workers == 0) {
      return;
    }
    pool = std::make_shared<dispatch::worker_pool>(dispatch::worker_pool::shape{workers, 1, queue, {}});
    shared.workers = std::make_unique<dispatch::worker_client>(pool, 0, [] {});
    for (std::uint32_t i = 0; i < workers; ++i) {
      hands.emplace_back(pool->link(0, i));
    }
  }
  ~pump_case() { listener.serving = nullptr; }

  /// Makes session, pump and lane. Callbacks and options must not change afterwards.
  void begin() {
    queue.emplace(
        cpg::send_limits{options.send_queue_bytes, options.supervision.queue_bytes, options.large_message_max,
                         cpg::send_limits::atomic_max_of(ring_bytes_used)},
        multicasts);
    session.emplace(cpg::session_options{own_pid, options.large_message_max, options.control_deadline},
                    *queue);
    made.emplace(who, shared, *session, listener);
    listener.serving = &*made;
    if (workers_used == 0) {
      in_turn.emplace(who, shared, made->ledger(), made->leases());
    } else {
      made->use_leases();
      on_workers.emplace(who, shared, made->ledger(), made->leases(), *session, listener, 0U);
    }
    auto connection = service.connect_owned();
    session->attach(std::move(connection), now());
  }
  /// Calls begin() and joins the group; then clears everything recorded so far.
  void join() {
    begin();
    ASSERT_TRUE(session->join(group, {}, now()));
    for (int i = 0; i < 8 && session->state() != handle_state::joined; ++i) {
      ASSERT_TRUE(session->progress(now()));
      answers.serve(service);
      serve();
      run_workers();
    }
    run_workers();
    serve();
    ASSERT_EQ(session->state(), handle_state::joined);
    answers.requests.clear();
    log.clear();
    listener.published = 0;
    listener.continues = listener.turns_wanted = 0;
  }
  [[nodiscard]] static base::time_point now() { return manual_clock::read(); }
  void advance(base::nanoseconds span) {
    manual_clock::advance(span);
    shared.clock.update();
  }

  reactor::turn_result serve(const reactor::turn_budget& budget = {256, 65536, 0}) {
    session->cork();
    const auto done = on_workers ? made->serve(*on_workers, budget) : made->serve(*in_turn, budget);
    EXPECT_TRUE(session->uncork());
    return done;
  }
  void send(std::string_view text, std::uint32_t pid = 5) {
    service.send_event(message_event(group, pid, text));
  }
  /// Runs all work of the workers and takes their reports. False: the workers had no work.
  bool run_workers() {
    bool ran = false;
    for (bool any = true; any && shared.workers; ran = ran || any) {
      any = false;
      for (auto& one : hands) {
        any = one.run_calls() + one.run_messages() != 0 || any;
      }
      shared.workers->take_reports();
    }
    return ran;
  }
  /// Alternates turns and workers until both have nothing left to do.
  void drain() {
    for (int i = 0; i < 100; ++i) {
      const auto done = serve();
      if (!run_workers() && done.events == 0 && !done.more) {
        return;
      }
    }
    ADD_FAILURE() << "still active after 100 rounds";
  }
  /// Multicasts and logs the outcome: "confirmed N", "not sent" or "unknown".
  void multicast_confirmed(std::string_view text, base::time_point deadline = base::time_point::max()) {
    const auto bytes = std::as_bytes(std::span(text.data(), text.size()));
    const std::span<const std::byte> whole[] = {bytes};
    ASSERT_TRUE(session->multicasts().multicast_confirmed(
        whole, bytes.size(), deadline, [this](const multicast_outcome& o) {
          log.push_back(o.fate == multicast_fate::confirmed  ? "confirmed " + std::to_string(o.sequence)
                        : o.fate == multicast_fate::not_sent ? "not sent"
                                                             : "unknown");
        }));
  }
  [[nodiscard]] ipc::ring_reader& ring() { return session->connection()->events(); }
  /// Logs the text of each message.
  void log_messages() {
    calls.on_message = [this](handle&, const message& m) { log.emplace_back(m.text()); };
  }
  void log_views() {
    calls.on_view = [this](handle&, const view& v) {
      log.push_back("view of " + std::to_string(v.members.size()) + (v.changes > 1 ? " merged" : ""));
    };
  }

  manual_clock clock;
  callbacks calls;
  handle_options options;
  handle_counters counters;
  recipient who{calls, options, counters, {}};
  const std::uint32_t ring_bytes_used;
  in_process_service service;
  honest_answers answers;
  const std::uint32_t workers_used;
  std::shared_ptr<dispatch::worker_pool> pool;
  shard_resources shared{nullptr, &manual_clock::read};
  std::vector<hand_driven_worker> hands;
  recording_listener listener;
  cpg::multicast_pool multicasts;
  std::optional<cpg::send_queue> queue;
  std::optional<cpg::session> session;
  std::optional<pump> made;
  std::optional<inline_lane> in_turn;
  std::optional<worker_lane> on_workers;
  std::vector<std::string> log;
};

/// The texts "prefix0", "prefix1" ... as log_messages() records them.
inline std::vector<std::string> numbered(std::string_view prefix, int count, int first = 0) {
  std::vector<std::string> all;
  for (int i = first; i < first + count; ++i) {
    all.push_back(std::string(prefix) + std::to_string(i));
  }
  return all;
}

}  // namespace cpgring::delivery::test
