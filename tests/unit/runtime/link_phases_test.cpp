// Every phase of a link with every event, compared with an independent table.
#include "runtime/link_phases.hpp"

#include <set>
#include <string>

#include <gtest/gtest.h>

namespace {

using cpgring::runtime::has_connection;
using cpgring::runtime::is_open;
using cpgring::runtime::link_event;
using cpgring::runtime::next_phase;
using cpgring::runtime::phase;

constexpr phase phases[] = {phase::queued,    phase::handshaking, phase::live,
                            phase::lingering, phase::draining,    phase::gone};
constexpr link_event events[] = {link_event::slot_free, link_event::connected,  link_event::lost,
                                 link_event::closed,    link_event::taken_over, link_event::idle};

TEST(link_phases, follow_the_table_for_every_event) {
  constexpr phase q = phase::queued, h = phase::handshaking, l = phase::live, g = phase::lingering,
                  d = phase::draining, o = phase::gone;
  constexpr phase expected[6][6] = {
      // slot_free, connected, lost, closed, taken_over, idle
      {h, q, d, d, q, q},  // queued
      {h, l, d, d, h, h},  // handshaking
      {l, l, d, g, l, l},  // live
      {g, g, d, g, d, g},  // lingering
      {d, d, d, d, d, o},  // draining
      {o, o, o, o, o, o},  // gone
  };
  for (std::size_t p = 0; p < 6; ++p) {
    for (std::size_t e = 0; e < 6; ++e) {
      EXPECT_EQ(next_phase(phases[p], events[e]), expected[p][e])
          << to_string(phases[p]) << " with event " << e;
    }
  }
}

TEST(link_phases, no_event_leads_back) {
  for (const phase from : phases) {
    for (const link_event what : events) {
      EXPECT_GE(next_phase(from, what), from);
    }
  }
}

TEST(link_phases, every_phase_leads_to_gone) {
  for (phase at : phases) {
    at = next_phase(next_phase(at, link_event::lost), link_event::idle);
    EXPECT_EQ(at, phase::gone);
  }
}

TEST(link_phases, is_open_and_has_connection_are_true_in_the_right_phases) {
  for (const phase p : phases) {
    EXPECT_EQ(is_open(p), p == phase::queued || p == phase::handshaking || p == phase::live);
    EXPECT_EQ(has_connection(p), p == phase::live || p == phase::lingering);
  }
}

TEST(link_phases, have_distinct_names) {
  std::set<std::string> names;
  for (const phase p : phases) {
    names.emplace(to_string(p));
  }
  EXPECT_EQ(names.size(), 6U);
}

}  // namespace
