// The inline lane alone: which chunks a batch marks as done, what it counts, what stops it.
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "unit/delivery/pump_case.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::delivery;
using namespace cpgring::delivery::test;

/// A lane with its own ledger. The test fills the batches.
struct lane_case : pump_case {
  lane_case() { begin(); }

  /// Fills the batch with messages of these texts, each in a claimed chunk.
  void fill(turn& t, const std::vector<std::string>& texts) {
    texts_kept = texts;
    t.batch.clear();
    t.batch_claim = ledger.claim(static_cast<std::uint32_t>(texts.size()));
    for (auto& one : texts_kept) {
      t.batch.push({reinterpret_cast<std::byte*>(one.data()), static_cast<std::uint32_t>(one.size()), 1, 5,
                    static_cast<std::uint32_t>(one.size() + 200)});
    }
  }
  batch_outcome run(turn& t) {
    return lane.messages(t, "g", sequence, [this] { return keep_going; });
  }

  const reactor::turn_budget budget{256, 65536, 0};
  leasing::chunk_ledger ledger;
  leasing::lease_table leases{1 << 20, std::chrono::milliseconds(100)};
  inline_lane lane{who, shared, ledger, leases};
  std::vector<std::string> texts_kept;
  std::uint64_t sequence = 10;
  bool keep_going = true;
};

TEST(inline_lane, runs_a_batch_in_order_and_marks_its_chunks_done) {
  lane_case c;
  c.log_messages();
  turn t(c.budget, handle(), *c.session->connection());
  c.fill(t, {"a", "bb", "ccc"});
  const auto done = c.run(t);
  EXPECT_EQ(c.log, (std::vector<std::string>{"a", "bb", "ccc"}));
  EXPECT_EQ(done.events, 3U);
  EXPECT_EQ(done.bytes, 6U);
  EXPECT_FALSE(done.failure);
  EXPECT_EQ(c.sequence, 13U);
  EXPECT_EQ(c.ledger.open(), 0U);
  EXPECT_EQ(c.ledger.bytes(), 606U);
  EXPECT_EQ(c.ledger.take(), 3U);
}

TEST(inline_lane, gives_each_message_its_sender_its_group_and_the_next_number) {
  lane_case c;
  c.calls.on_message = [&c](handle&, const message& m) {
    EXPECT_EQ(m.group(), "g");
    EXPECT_EQ(m.sender_node(), 1U);
    EXPECT_EQ(m.sender_pid(), 5U);
    EXPECT_FALSE(m.fragmented());
    c.log.push_back(std::to_string(m.sequence()));
  };
  turn t(c.budget, handle(), *c.session->connection());
  c.fill(t, {"a", "b"});
  c.run(t);
  EXPECT_EQ(c.log, (std::vector<std::string>{"11", "12"}));
}

TEST(inline_lane, stops_after_a_throwing_callback_and_keeps_the_rest_claimed) {
  lane_case c;
  c.calls.on_message = [&c](handle&, const message& m) {
    c.log.emplace_back(m.text());
    if (m.text() == "b") {
      throw std::runtime_error("no more");
    }
  };
  turn t(c.budget, handle(), *c.session->connection());
  c.fill(t, {"a", "b", "c"});
  const auto done = c.run(t);
  EXPECT_EQ(c.log, (std::vector<std::string>{"a", "b"}));
  ASSERT_TRUE(done.failure);
  EXPECT_EQ(done.failure->code, errc::callback_threw);
  EXPECT_EQ(done.events, 2U);
  EXPECT_EQ(c.ledger.take(), 2U);
  EXPECT_EQ(c.ledger.open(), 1U);
}

TEST(inline_lane, stops_after_a_callback_when_told_not_to_continue) {
  lane_case c;
  c.calls.on_message = [&c](handle&, const message& m) {
    c.log.emplace_back(m.text());
    c.keep_going = m.text() != "a";
  };
  turn t(c.budget, handle(), *c.session->connection());
  c.fill(t, {"a", "b"});
  const auto done = c.run(t);
  EXPECT_EQ(c.log, std::vector<std::string>{"a"});
  EXPECT_FALSE(done.failure);
  EXPECT_EQ(c.ledger.open(), 1U);
}

TEST(inline_lane, a_leased_chunk_stays_open_while_later_chunks_are_done) {
  lane_case c;
  std::vector<lease> held;
  c.calls.on_message = [&](handle&, const message& m) {
    if (m.text() == "b" || m.text() == "d") {
      held.push_back(std::move(m.retain().value()));
    }
  };
  turn t(c.budget, handle(), *c.session->connection());
  c.fill(t, {"a", "b", "c", "d", "e"});
  c.run(t);
  EXPECT_TRUE(t.leased);
  EXPECT_EQ(c.ledger.open(), 2U);
  EXPECT_EQ(c.ledger.take(), 1U);
  const auto freed = [&c](std::uint64_t chunk) { c.ledger.done(chunk, 1); };
  held.erase(held.begin());
  c.leases.collect(c.shared.copies, freed);
  EXPECT_EQ(c.ledger.take(), 2U);
  held.clear();
  c.leases.collect(c.shared.copies, freed);
  EXPECT_EQ(c.ledger.take(), 2U);
}

TEST(inline_lane, a_lease_released_in_its_callback_is_freed_at_the_next_collection) {
  lane_case c;
  c.calls.on_message = [](handle&, const message& m) { static_cast<void>(m.retain().value()); };
  turn t(c.budget, handle(), *c.session->connection());
  c.fill(t, {"a", "b"});
  c.run(t);
  c.leases.collect(c.shared.copies, [&c](std::uint64_t chunk) { c.ledger.done(chunk, 1); });
  EXPECT_EQ(c.ledger.open(), 0U);
  EXPECT_EQ(c.ledger.take(), 2U);
}

TEST(inline_lane, runs_a_call_at_once_counts_it_and_returns_what_it_throws) {
  lane_case c;
  turn t(c.budget, handle(), *c.session->connection());
  EXPECT_FALSE(c.lane.call(t, [&c] { c.log.emplace_back("ran"); }));
  EXPECT_EQ(c.log.size(), 1U);
  EXPECT_EQ(t.events, 1U);
  const auto thrown = c.lane.call(t, [] { throw std::runtime_error("why"); });
  ASSERT_TRUE(thrown);
  EXPECT_EQ(thrown->code, errc::callback_threw);
  EXPECT_NE(thrown->message().find("why"), std::string::npos);
}

TEST(inline_lane, is_always_ready_with_room_for_a_whole_batch) {
  lane_case c;
  turn t(c.budget, handle(), *c.session->connection());
  EXPECT_TRUE(inline_lane::ready(t));
  EXPECT_TRUE(inline_lane::alone());
  EXPECT_EQ(inline_lane::room(), dispatch::descriptor_batch::capacity);
  EXPECT_FALSE(inline_lane::calls_waiting());
  EXPECT_FALSE(inline_lane::holds_message());
}

}  // namespace
