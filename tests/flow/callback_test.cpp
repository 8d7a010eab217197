// Callbacks may call everything, and state() agrees with the state that a callback reports, on any thread.
#include <thread>

#include <fmt/format.h>

#include "support/filler.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::test;

class flow_callback : public ::testing::TestWithParam<wakeup> {};
INSTANTIATE_TEST_SUITE_P(backend, flow_callback, ::testing::ValuesIn(backends_here()), backend_name);

/// Opens a handle with the witness's callbacks, of which `adjust` wraps or replaces some.
void open_with(world& w, witness& into, const std::string& group, std::uint32_t pid,
               const std::function<void(callbacks&)>& adjust) {
  auto calls = into.record();
  adjust(calls);
  auto o = w.options(group);
  cpgring::testing::simulate_pid(o, pid);
  auto opened = w.loop().open(o, std::move(calls));
  ASSERT_TRUE(opened) << opened.error().message();
  into.self = *opened;
}

TEST_P(flow_callback, sees_the_state_it_reports_as_does_any_thread_it_notifies) {
  world w(GetParam());
  witness a;
  bool sent = false;
  open_with(w, a, world::fresh_group(), 0, [&](callbacks& c) {
    c.on_state = [&, then = std::move(c.on_state)](handle& h, const state_change& s) {
      EXPECT_GE(h.state(), s.to) << "the handle may have moved on already";
      if (s.to == handle_state::joined) {
        std::thread([&] {
          auto outcome = h.multicast("from another thread");
          EXPECT_TRUE(outcome) << outcome.error().message();
          sent = true;
        }).join();
      }
      then(h, s);
    };
    c.on_view = [&, then = std::move(c.on_view)](handle& h, const view& v) {
      if (!v.joined.empty()) {
        EXPECT_EQ(h.state(), handle_state::joined);
      }
      then(h, v);
    };
  });
  ASSERT_TRUE(w.until([&] { return a.messages.size() == 1; }));
  EXPECT_TRUE(sent);
}

TEST_P(flow_callback, may_close_its_handle_and_gets_only_the_state_closed_after_that) {
  world w(GetParam());
  witness a, b;
  const auto name = world::fresh_group();
  open_with(w, a, name, 401, [&](callbacks& c) {
    c.on_message = [&, then = std::move(c.on_message)](handle& h, const message& m) {
      then(h, m);
      if (m.sequence() == 3) {
        h.close();
        EXPECT_EQ(h.multicast("too late").error(), errc::bad_handle);
      }
    };
  });
  ASSERT_TRUE(w.until([&] { return a.is(handle_state::joined); }));
  open_joined(w, b, name, 402);
  filler f(w, a, name);
  f.fill(10);
  ASSERT_TRUE(w.until([&] { return a.is(handle_state::closed); }));
  EXPECT_EQ(a.messages, (std::vector<std::string>{"m0", "m1", "m2"}));
  EXPECT_EQ(a.all.back(), "state closed");
  ASSERT_TRUE(w.until([&] { return b.views.back().find("-401/process_down") != std::string::npos; }))
      << "the other member sees it leave";
  EXPECT_EQ(b.messages.size(), 10U);
}

TEST_P(flow_callback, may_leave_and_gets_everything_up_to_its_own_leave_view) {
  world w(GetParam());
  witness a;
  const auto name = world::fresh_group();
  open_with(w, a, name, 0, [&](callbacks& c) {
    c.on_message = [&, then = std::move(c.on_message)](handle& h, const message& m) {
      then(h, m);
      if (m.sequence() == 2) {
        EXPECT_TRUE(h.leave());
      }
    };
  });
  ASSERT_TRUE(w.until([&] { return a.is(handle_state::joined); }));
  filler f(w, a, name);
  f.fill(10);
  ASSERT_TRUE(w.until([&] { return a.is(handle_state::left); }));
  EXPECT_EQ(a.messages.size(), 10U) << "all were ordered before the leave";
  EXPECT_NE(a.views.back().find(fmt::format("-{}/leave", a.self.pid())), std::string::npos) << a.views.back();
}

TEST_P(flow_callback, that_throws_closes_only_its_own_handle) {
  world w(GetParam());
  witness a, b;
  const auto name = world::fresh_group();
  open_with(w, a, name, 201, [&](callbacks& c) {
    c.on_message = [](handle&, const message&) { throw std::runtime_error("the user's own trouble"); };
  });
  open_joined(w, b, name, 202);
  ASSERT_TRUE(w.until([&] { return a.is(handle_state::joined); }));
  ASSERT_TRUE(b.self.multicast("one"));
  ASSERT_TRUE(b.self.multicast("two"));
  ASSERT_TRUE(w.until([&] { return a.is(handle_state::closed) && b.messages.size() == 2; }));
  ASSERT_EQ(a.causes.size(), 1U);
  EXPECT_EQ(a.causes[0], errc::callback_threw);
  EXPECT_NE(a.causes[0].message().find("the user's own trouble"), std::string::npos);
  ASSERT_TRUE(w.until([&] { return b.views.back().find("-201/process_down") != std::string::npos; }));
}

TEST_P(flow_callback, of_every_kind_may_throw) {
  for (const std::string kind : {"state", "view", "done", "query"}) {
    world w(GetParam());
    witness a;
    open_with(w, a, "", 0, [&](callbacks& c) {
      c.on_state = [&, then = std::move(c.on_state)](handle& h, const state_change& s) {
        then(h, s);
        if (s.to == handle_state::ready && kind == "query") {
          EXPECT_TRUE(h.query_groups([](result<std::vector<group_entry>>) { throw 42; }));
        } else if (s.to == handle_state::ready) {
          EXPECT_TRUE(h.join(world::fresh_group(), [&](const result<void>&) {
            if (kind == "done") {
              throw std::logic_error("done");
            }
          }));
        }
        if (s.to == handle_state::joined && kind == "state") {
          throw std::logic_error("state");
        }
      };
      c.on_view = [&](handle&, const view&) {
        if (kind == "view") {
          throw std::logic_error("view");
        }
      };
    });
    ASSERT_TRUE(w.until([&] { return a.is(handle_state::closed); })) << kind;
    ASSERT_EQ(a.causes.size(), 1U) << kind;
    EXPECT_EQ(a.causes[0], errc::callback_threw) << kind;
  }
}

TEST_P(flow_callback, may_stop_the_engine_and_nothing_runs_after_it) {
  world w(GetParam());
  witness a;
  const auto name = world::fresh_group();
  open_with(w, a, name, 0, [&](callbacks& c) {
    c.on_message = [&, then = std::move(c.on_message)](handle& h, const message& m) {
      then(h, m);
      if (m.sequence() == 4) {
        w.loop().stop();
      }
    };
  });
  ASSERT_TRUE(w.until([&] { return a.is(handle_state::joined); }));
  filler f(w, a, name);
  f.fill(10);
  auto did = w.loop().dispatch(mode::blocking);
  ASSERT_TRUE(did) << "the call ran callbacks";
  EXPECT_EQ(a.messages.size(), 4U);
  EXPECT_EQ(w.loop().dispatch(mode::all).error(), errc::stopped);
}

TEST_P(flow_callback, may_release_the_last_handle_object_and_close_other_handles) {
  world w(GetParam());
  witness a, b;
  const auto name = world::fresh_group();
  open_with(w, a, name, 301, [&](callbacks& c) {
    c.on_message = [&, then = std::move(c.on_message)](handle& h, const message& m) {
      then(h, m);
      b.self.close();
      b.self = {};
      a.self = {};
    };
  });
  open_with(w, b, name, 302, [](callbacks&) {});
  ASSERT_TRUE(w.until([&] { return a.is(handle_state::joined) && b.is(handle_state::joined); }));
  filler f(w, a, name);
  f.fill(5);
  ASSERT_TRUE(w.until([&] { return a.messages.size() == 5 && b.is(handle_state::closed); }))
      << a.messages.size();
}

TEST_P(flow_callback, may_open_handles) {
  world w(GetParam());
  witness a, b;
  const auto name = world::fresh_group();
  open_with(w, a, name, 0, [&](callbacks& c) {
    c.on_state = [&, then = std::move(c.on_state)](handle& h, const state_change& s) {
      then(h, s);
      if (s.to == handle_state::joined) {
        auto opened = w.loop().open(w.options(name + "-inner"), b.record());
        EXPECT_TRUE(opened);
      }
    };
  });
  EXPECT_TRUE(w.until([&] { return b.is(handle_state::joined); }));
}

TEST_P(flow_callback, is_destroyed_with_the_engine_and_the_last_handle_object) {
  auto w = std::make_unique<world>(GetParam());
  auto reported = std::make_shared<int>(0);
  witness a;
  open_with(*w, a, world::fresh_group(), 0,
            [&](callbacks& c) { c.on_message = [reported](handle&, const message&) { ++*reported; }; });
  ASSERT_TRUE(w->until([&] { return a.is(handle_state::joined); }));
  ASSERT_TRUE(a.self.multicast("one"));
  w.reset();
  EXPECT_EQ(a.self.multicast("two").error(), errc::bad_handle);
  EXPECT_EQ(a.self.state(), handle_state::closed);
  a.self = {};
  EXPECT_EQ(reported.use_count(), 1) << "callbacks are destroyed with the engine and the last handle object";
}

}  // namespace
