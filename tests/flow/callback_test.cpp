// What callbacks may do: everything. And what they find: the state that they are told of, on any thread.
#include <thread>

#include <fmt/format.h>

#include "support/filler.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::test;

class flow_callback : public testing::TestWithParam<wakeup> {};
INSTANTIATE_TEST_SUITE_P(backend, flow_callback, testing::ValuesIn(backends_here()), backend_name);

/// Opens a handle whose callbacks are the witness's, but for those that `adjust` puts something in front of or in place of.
void open_with(world& w, witness& into, const std::string& group, std::uint32_t pid, const std::function<void(callbacks&)>& adjust) {
  auto calls = into.record();
  adjust(calls);
  auto o = w.options(group);
  o.pid = pid;
  auto opened = w.loop().open(o, calls);
  ASSERT_TRUE(opened) << opened.error().message();
  into.self = *opened;
}

TEST_P(flow_callback, finds_the_state_that_it_is_told_of_and_so_does_any_thread_that_hears_of_it) {
  world w(GetParam());
  witness a;
  bool sent = false;
  open_with(w, a, world::fresh_group(), 0, [&](callbacks& c) {
    c.on_state = [&, then = c.on_state](handle& h, const state_change& s) {
      EXPECT_GE(h.state(), s.to) << "it may have gone on already";
      if (s.to == handle_state::joined) {
        std::thread([&] {
          auto outcome = h.multicast("from another thread");
          EXPECT_TRUE(outcome) << outcome.error().message();
          sent = true;
        }).join();
      }
      then(h, s);
    };
    c.on_view = [&, then = c.on_view](handle& h, const view& v) {
      if (!v.joined.empty()) {
        EXPECT_EQ(h.state(), handle_state::joined);
      }
      then(h, v);
    };
  });
  ASSERT_TRUE(w.until([&] { return a.messages.size() == 1; }));
  EXPECT_TRUE(sent);
}

TEST_P(flow_callback, may_close_its_handle_and_hears_no_more_than_that) {
  world w(GetParam());
  witness a, b;
  const auto name = world::fresh_group();
  open_with(w, a, name, 401, [&](callbacks& c) {
    c.on_message = [&, then = c.on_message](handle& h, const message& m) {
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
  ASSERT_TRUE(w.until([&] { return b.views.back().find("-401/process_down") != std::string::npos; })) << "the others see it go";
  EXPECT_EQ(b.messages.size(), 10U);
}

TEST_P(flow_callback, may_leave_and_hears_everything_up_to_its_own_leave_view) {
  world w(GetParam());
  witness a;
  const auto name = world::fresh_group();
  open_with(w, a, name, 0, [&](callbacks& c) {
    c.on_message = [&, then = c.on_message](handle& h, const message& m) {
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
  EXPECT_EQ(a.messages.size(), 10U) << "they were in order before the leave";
  EXPECT_NE(a.views.back().find(fmt::format("-{}/leave", a.self.pid())), std::string::npos) << a.views.back();
}

TEST_P(flow_callback, may_throw_and_ends_its_own_handle_alone) {
  world w(GetParam());
  witness a, b;
  const auto name = world::fresh_group();
  open_with(w, a, name, 201,
            [&](callbacks& c) { c.on_message = [](handle&, const message&) { throw std::runtime_error("the user's own trouble"); }; });
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

TEST_P(flow_callback, may_throw_in_every_kind_of_callback) {
  for (const std::string kind : {"state", "view", "done", "query"}) {
    world w(GetParam());
    witness a;
    open_with(w, a, "", 0, [&](callbacks& c) {
      c.on_state = [&, then = c.on_state](handle& h, const state_change& s) {
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

TEST_P(flow_callback, may_stop_the_engine_and_nothing_runs_behind_it) {
  world w(GetParam());
  witness a;
  const auto name = world::fresh_group();
  open_with(w, a, name, 0, [&](callbacks& c) {
    c.on_message = [&, then = c.on_message](handle& h, const message& m) {
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
  ASSERT_TRUE(did) << "it ran callbacks";
  EXPECT_EQ(a.messages.size(), 4U);
  EXPECT_EQ(w.loop().dispatch(mode::all).error(), errc::stopped);
}

TEST_P(flow_callback, may_let_go_of_the_last_handle_object_and_of_other_handles) {
  world w(GetParam());
  witness a, b;
  const auto name = world::fresh_group();
  open_with(w, a, name, 301, [&](callbacks& c) {
    c.on_message = [&, then = c.on_message](handle& h, const message& m) {
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
  ASSERT_TRUE(w.until([&] { return a.messages.size() == 5 && b.is(handle_state::closed); })) << a.messages.size();
}

TEST_P(flow_callback, may_open_handles) {
  world w(GetParam());
  witness a, b;
  const auto name = world::fresh_group();
  open_with(w, a, name, 0, [&](callbacks& c) {
    c.on_state = [&, then = c.on_state](handle& h, const state_change& s) {
      then(h, s);
      if (s.to == handle_state::joined) {
        auto opened = w.loop().open(w.options(name + "-inner"), b.record());
        EXPECT_TRUE(opened);
      }
    };
  });
  EXPECT_TRUE(w.until([&] { return b.is(handle_state::joined); }));
}

TEST_P(flow_callback, may_destroy_what_it_captured_with_the_engine_gone) {
  auto w = std::make_unique<world>(GetParam());
  auto told = std::make_shared<int>(0);
  witness a;
  open_with(*w, a, world::fresh_group(), 0, [&](callbacks& c) { c.on_message = [told](handle&, const message&) { ++*told; }; });
  ASSERT_TRUE(w->until([&] { return a.is(handle_state::joined); }));
  ASSERT_TRUE(a.self.multicast("one"));
  w.reset();
  EXPECT_EQ(a.self.multicast("two").error(), errc::bad_handle);
  EXPECT_EQ(a.self.state(), handle_state::closed);
  a.self = {};
  EXPECT_EQ(told.use_count(), 1) << "callbacks go with the engine and the last handle object";
}

}  // namespace
