// Invalid data in a handle's shared memory, written by the test itself, and a service that sends invalid
// events and answers. That handle is lost with an error that names the field, and others continue. Unfinished
// messages beyond a limit are given up and reported.
#include <fcntl.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <future>
#include <memory>
#include <optional>
#include <set>
#include <tuple>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "base/owned.hpp"
#include "cpg/encode.hpp"
#include "cpg/wire_format.hpp"
#include "ipc/chunk_format.hpp"
#include "support/hostile_service.hpp"
#include "support/world.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::test;
namespace cf = cpgring::ipc::chunk_format;

std::set<std::string> ring_directories() {
  std::set<std::string> all;
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm")) {
    const auto name = entry.path().filename().string();
    if (name.starts_with(
            fmt::format("qb-{}-{}-", ::getpid(), ::getpid()))) {  // the embedded service has the same pid
      all.insert(entry.path());
    }
  }
  return all;
}

/// The event ring of a handle, as the service sees it.
class event_ring {
 public:
  explicit event_ring(const std::string& directory) {
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
      const auto name = entry.path().filename().string();
      if (name.find("event") != std::string::npos) {
        (name.ends_with("-header") ? header_ : data_) = map(entry.path());
      }
    }
  }
  void post() { ::sem_post(reinterpret_cast<sem_t*>(header_.data() + cf::semaphore)); }
  void set(std::size_t at, std::uint32_t value) { std::memcpy(header_.data() + at, &value, sizeof value); }
  /// Sets word `index` of the oldest event, counted from its length and magic; the event must not wrap.
  void set_oldest(std::size_t index, std::uint32_t value) {
    std::uint32_t read = 0;
    std::memcpy(&read, header_.data() + cf::read_position, sizeof read);
    std::memcpy(data_.data() + (read + index) * 4, &value, sizeof value);
  }

 private:
  static base::unique_mapping map(const std::string& path) {
    const base::unique_fd file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    const auto size = std::filesystem::file_size(path);
    return base::unique_mapping(::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0),
                                size);
  }
  base::unique_mapping header_, data_;
};

struct lie {
  const char* name;
  void (*tell)(event_ring&);
  const char* named;
};
void PrintTo(const lie& l, std::ostream* os) { *os << l.name; }

class flow_hostile_service : public ::testing::TestWithParam<lie> {};
INSTANTIATE_TEST_SUITE_P(
    lies, flow_hostile_service,
    ::testing::Values(
        lie{"a_count_without_an_event", [](event_ring& r) { r.post(); }, "magic of a chunk"},
        lie{"a_write_position_outside", [](event_ring& r) { r.set(cf::write_position, 1U << 30); },
            "write position"},
        lie{"a_wrong_magic", [](event_ring& r) { r.set_oldest(1, cf::magic_being_written); }, "magic"},
        lie{"a_chunk_longer_than_the_ring", [](event_ring& r) { r.set_oldest(0, 0x7fffffff); },
            "length of a chunk"},
        lie{"an_event_of_no_kind", [](event_ring& r) { r.set_oldest(2, 77); }, "event id"},
        lie{"a_message_longer_than_its_event",
            [](event_ring& r) { r.set_oldest(2 + cpg::wire::deliver_event::length / 4, 60000); },
            "message length"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST_P(flow_hostile_service, loses_only_that_handle_and_names_the_field) {
  if (!world::embedded()) {
    GTEST_SKIP() << "never corrupts the memory of a daemon";
  }
  for (const wakeup backend : backends_here()) {
    world w(backend);
    witness a, b;
    const auto before = ring_directories();
    open_joined(w, a, world::fresh_group());
    const auto with_a = ring_directories();
    open_joined(w, b, world::fresh_group());
    while (w.loop().dispatch(mode::one_nonblocking)) {
    }
    std::string of_a;
    for (const auto& one : with_a) {
      of_a = before.contains(one) ? of_a : one;
    }
    ASSERT_FALSE(of_a.empty());
    event_ring ring(of_a);
    const auto events = w.embedded_service_object().stats().events;
    ASSERT_TRUE(a.self.multicast("waits in the ring"));
    while (w.embedded_service_object().stats().events == events) {
      ::usleep(100);
    }
    GetParam().tell(ring);
    ASSERT_TRUE(w.until([&] { return a.is(handle_state::lost); })) << to_string(backend);
    EXPECT_EQ(a.causes.back(), errc::malformed);
    EXPECT_NE(a.causes.back().message().find(GetParam().named), std::string::npos)
        << a.causes.back().message();
    ASSERT_TRUE(b.self.multicast("goes on"));
    EXPECT_TRUE(w.until([&] { return b.messages.size() == 1; })) << to_string(backend);
  }
}

// --- a hostile service of the test

namespace wire = cpg::wire;
using ::testing::HasSubstr;

/// Handles of one engine on a hostile service.
struct hostile_world {
  hostile_world(wakeup backend, std::uint32_t workers, hostile_service::meddler meddle = {})
      : service(std::move(meddle)), w(backend, [workers](engine_options& o) { o.workers = workers; }) {}

  void open(witness& into, const std::string& group = {}, std::function<void(handle_options&)> adjust = {}) {
    handle_options o = w.options(group);
    o.service = service.name();
    if (adjust) {
      adjust(o);
    }
    auto opened = w.loop().open(o, into.record());
    ASSERT_TRUE(opened) << opened.error().message();
    into.self = *opened;
    ASSERT_TRUE(w.until([&] { return into.is(group.empty() ? handle_state::ready : handle_state::joined); }));
  }
  void expect_lost(witness& to, std::string_view words) {
    ASSERT_TRUE(w.until([&] { return to.is(handle_state::lost); }));
    ASSERT_FALSE(to.causes.empty());
    EXPECT_EQ(to.causes.back(), errc::malformed);
    EXPECT_THAT(to.causes.back().message(), HasSubstr(std::string(words)));
  }
  void expect_to_go_on(witness& one) {
    const auto before = one.messages.size();
    ASSERT_TRUE(one.self.multicast("goes on"));
    ASSERT_TRUE(w.until([&] { return one.messages.size() > before; }));
    EXPECT_EQ(one.messages.back(), "goes on");
  }

  hostile_service service;
  world w;
};

std::string name_of(const ::testing::TestParamInfo<std::tuple<wakeup, std::uint32_t>>& p) {
  return std::string(to_string(std::get<0>(p.param))) + (std::get<1>(p.param) == 0 ? "_inline" : "_workers");
}

struct flow_lying_service : ::testing::TestWithParam<std::tuple<wakeup, std::uint32_t>>, hostile_world {
  flow_lying_service() : hostile_world(std::get<0>(GetParam()), std::get<1>(GetParam())) {}
};
INSTANTIATE_TEST_SUITE_P(on, flow_lying_service,
                         ::testing::Combine(::testing::ValuesIn(backends_here()), ::testing::Values(0U, 2U)),
                         name_of);

TEST_P(flow_lying_service, loses_a_handle_that_gets_an_event_of_another_group) {
  const auto other = world::fresh_group("other");
  witness good;
  open(good, world::fresh_group("good"));
  for (const auto& event : {message_event(other, 1, "not for you"), view_event(other, 77),
                            fragment_event(other, 1, 2, wire::fragment_type::first, "n")}) {
    witness victim;
    const auto group = world::fresh_group("victim");
    open(victim, group);
    ASSERT_EQ(service.with(group,
                           [&](hostile_service::client& c) {
                             c.send(message_event(group, 5, "before"));
                             c.send(event);
                             c.send(message_event(group, 5, "behind"));
                           }),
              1U);
    expect_lost(victim, fmt::format("group '{}' to a handle that is in group '{}'", other, group));
    EXPECT_EQ(victim.messages, std::vector<std::string>{"before"});
    expect_to_go_on(good);
  }
}

TEST_P(flow_lying_service, loses_a_handle_in_no_group_that_gets_an_event) {
  for (const std::string& named : {std::string("any"), std::string()}) {
    witness victim;
    open(victim);
    ASSERT_EQ(service.with("", [&](hostile_service::client& c) { c.send(message_event(named, 1, "x")); }),
              1U);
    expect_lost(victim, "to a handle that is in no group");
    EXPECT_TRUE(victim.messages.empty());
  }
}

// Stock corosync does send events of the group that was left.
TEST_P(flow_lying_service, may_send_events_of_the_group_that_was_left_but_of_no_other) {
  witness leaver;
  const auto group = world::fresh_group("left");
  open(leaver, group);
  ASSERT_TRUE(leaver.self.leave());
  ASSERT_TRUE(w.until([&] { return leaver.is(handle_state::left); }));
  ASSERT_EQ(service.with(group,
                         [&](hostile_service::client& c) {
                           c.send(message_event(group, 5, "old news"));
                           c.send(view_event(group, 5));
                         }),
            1U);
  std::optional<result<std::uint32_t>> node;  // answered after both events
  ASSERT_TRUE(leaver.self.query_local_node([&](const result<std::uint32_t>& answer) { node = answer; }));
  ASSERT_TRUE(w.until([&] { return node.has_value(); }));
  EXPECT_TRUE(leaver.is(handle_state::left));
  EXPECT_TRUE(leaver.messages.empty());
  service.with(group, [&](hostile_service::client& c) { c.send(message_event("another", 5, "x")); });
  expect_lost(leaver, "of group 'another'");
}

TEST_P(flow_lying_service, makes_a_handle_keep_only_a_few_unfinished_messages) {
  constexpr std::uint32_t begun = 20000;
  witness victim;
  const auto group = world::fresh_group("begun");
  open(victim, group);
  service.post(group, [&](hostile_service::client& c) {
    for (std::uint32_t pid = 1; pid <= begun; ++pid) {
      c.send(fragment_event(group, pid, 1 << 20, wire::fragment_type::first, "x"));
      if (pid % 1000 == 0) {
        c.send(message_event(group, pid, fmt::format("whole {}", pid)));
      }
    }
    for (std::uint32_t i = 0; i < 1024; ++i) {  // until the unfinished messages count as abandoned
      c.send(fragment_event(group, begun + 2, 2, wire::fragment_type::middle, "x"));
    }
    c.send(fragment_event(group, begun + 1, 6, wire::fragment_type::first, "ab"));
    c.send(fragment_event(group, begun + 1, 6, wire::fragment_type::middle, "cd"));
    c.send(fragment_event(group, begun + 1, 6, wire::fragment_type::last, "ef"));
  });
  ASSERT_TRUE(w.until([&] { return !victim.messages.empty() && victim.messages.back() == "abcdef"; }));
  EXPECT_EQ(victim.messages.size(), begun / 1000 + 1) << "nothing else is lost";
  EXPECT_EQ(victim.aborted.size(), begun + 1 - large_messages_open_max);
  expect_to_go_on(victim);
}

// --- queries

/// Inline callbacks on the automatic backend: queries are handled by the session and do not depend on either.
struct flow_lying_answers : ::testing::Test {
  using members = std::optional<result<std::vector<member_address>>>;
  static completion<std::vector<member_address>> into(members& to) {
    return [&to](const result<std::vector<member_address>>& answer) { to = answer; };
  }
};

TEST_F(flow_lying_answers, members_are_listed_by_iteration_never_in_one_request) {
  hostile_world h(wakeup::automatic, 0);
  std::vector<hostile_service::row> rows;
  for (std::uint32_t i = 0; i < 500; ++i) {
    rows.push_back({"crowd", 1 + i % 3, 9000 - i});
  }
  rows.push_back({"another", 1, 1});
  h.service.list(rows);
  witness a;
  h.open(a);
  flow_lying_answers::members listed, nobody;
  ASSERT_TRUE(a.self.query_members("crowd", into(listed)));
  ASSERT_TRUE(a.self.query_members("nobody", into(nobody)));
  ASSERT_TRUE(h.w.until([&] { return listed && nobody; }));
  ASSERT_TRUE(*listed) << listed->error().message();
  EXPECT_EQ((*listed)->size(), 500U);
  EXPECT_TRUE(std::is_sorted((*listed)->begin(), (*listed)->end()));
  ASSERT_TRUE(*nobody) << nobody->error().message();
  EXPECT_TRUE((*nobody)->empty());
  ASSERT_TRUE(eventually([&] { return h.service.iterations() == 0; }));
  EXPECT_EQ(h.service.asked(wire::request::membership), 0U);
  EXPECT_EQ(h.service.asked(wire::request::iteration_initialize), 2U);
  EXPECT_EQ(h.service.asked(wire::request::iteration_finalize), 2U);
}

TEST_F(flow_lying_answers, many_queries_at_once_open_few_iterations_and_all_are_answered) {
  hostile_world h(wakeup::automatic, 0);
  h.service.list({{"crowd", 1, 1}, {"crowd", 1, 2}, {"crowd", 1, 3}});
  witness a;
  h.open(a);
  std::uint32_t answered = 0;
  for (std::uint32_t i = 0; i < handle::requests_max; ++i) {
    if (i % 2 == 0) {
      ASSERT_TRUE(a.self.query_members("crowd", [&](const result<std::vector<member_address>>& all) {
        answered += all && all->size() == 3 ? 1U : 0U;
      }));
    } else {
      ASSERT_TRUE(a.self.query_groups([&](const result<std::vector<group_entry>>& all) {
        answered += all && all->size() == 3 ? 1U : 0U;
      }));
    }
  }
  ASSERT_TRUE(h.w.until([&] { return answered == handle::requests_max; })) << answered;
  EXPECT_LE(h.service.iterations_most(), 8U) << "the embedded service allows a connection 64";
  EXPECT_TRUE(eventually([&] { return h.service.iterations() == 0; }));
}

TEST_F(flow_lying_answers, an_endless_list_fails_the_query_and_the_handle_continues) {
  hostile_world h(wakeup::automatic, 0,
                  [](hostile_service::client& c, wire::request id, hostile_service::bytes) {
                    if (id != wire::request::iteration_next) {
                      return false;
                    }
                    namespace r = wire::iteration_next_response;
                    auto row = answer_of(wire::response::iteration_next, r::bytes);
                    cpg::put(row.data() + r::name, std::uint32_t{1});
                    row[r::name + wire::name_text] = std::byte{'g'};
                    c.answer(row);
                    return true;
                  });
  witness a;
  h.open(a, "g");
  flow_lying_answers::members listed;
  ASSERT_TRUE(a.self.query_members("g", into(listed)));
  ASSERT_TRUE(h.w.until([&] { return listed.has_value(); }));
  ASSERT_FALSE(*listed);
  EXPECT_EQ(listed->error(), errc::malformed);
  EXPECT_THAT(listed->error().message(), HasSubstr("262144 members without an end"));
  h.expect_to_go_on(a);
  EXPECT_TRUE(eventually([&] { return h.service.iterations() == 0; }));
}

TEST_F(flow_lying_answers, a_member_of_another_group_fails_the_query) {
  hostile_world h(
      wakeup::automatic, 0, [](hostile_service::client& c, wire::request id, hostile_service::bytes) {
        if (id == wire::request::iteration_next) {
          c.answer(answer_of(wire::response::iteration_next, wire::iteration_next_response::bytes));
          return true;
        }
        return false;
      });
  witness a;
  h.open(a);
  flow_lying_answers::members listed;
  ASSERT_TRUE(a.self.query_members("g", into(listed)));
  ASSERT_TRUE(h.w.until([&] { return listed.has_value(); }));
  ASSERT_FALSE(*listed);
  EXPECT_EQ(listed->error(), errc::malformed);
  EXPECT_TRUE(eventually([&] { return h.service.iterations() == 0; }));
}

TEST_F(flow_lying_answers, unknown_status_codes_become_errc_library) {
  std::atomic<std::int32_t> said{0};
  hostile_world h(
      wakeup::automatic, 0, [&](hostile_service::client& c, wire::request id, hostile_service::bytes) {
        if (id == wire::request::iteration_initialize) {
          c.answer(answer_of(wire::response::iteration_initialize, wire::response_header_bytes, said));
          return true;
        }
        if (id == wire::request::local_get && said != 0) {
          c.answer(answer_of(wire::response::local_get, wire::local_get_response::bytes, said));
          return true;
        }
        return false;
      });
  witness a;
  h.open(a);
  for (const std::int32_t code : {-1, 29, 1001, INT32_MIN}) {
    said = code;
    flow_lying_answers::members listed;
    std::optional<result<std::uint32_t>> node;
    ASSERT_TRUE(a.self.query_members("g", into(listed)));
    ASSERT_TRUE(a.self.query_local_node([&](const result<std::uint32_t>& answer) { node = answer; }));
    ASSERT_TRUE(h.w.until([&] { return listed && node; }));
    ASSERT_TRUE(!*listed && !*node) << code;
    EXPECT_EQ(listed->error(), errc::library) << code;
    EXPECT_EQ(node->error(), errc::library) << code;
  }
}

// The service stalls with one iteration begun and another requested. Iterations that it answers too late are
// finalized as well.
TEST_F(flow_lying_answers, late_answers_leave_no_iteration_open) {
  std::atomic<bool> stands{false};
  hostile_world h(wakeup::automatic, 0, [&](hostile_service::client&, wire::request, hostile_service::bytes) {
    EXPECT_TRUE(eventually([&] { return !stands; }));
    return false;
  });
  h.service.list({{"g", 1, 1}});
  witness a;
  h.open(a, {}, [](handle_options& o) { o.control_deadline = std::chrono::milliseconds(500); });
  stands = true;
  std::uint32_t timed_out = 0;
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(a.self.query_members("g", [&](const result<std::vector<member_address>>& all) {
      timed_out += !all && all.error() == errc::timeout ? 1U : 0U;
    }));
  }
  ASSERT_TRUE(h.w.until([&] { return timed_out == 20; })) << timed_out;
  stands = false;
  flow_lying_answers::members listed;
  ASSERT_TRUE(h.w.until([&] {
    if (!listed) {
      listed.emplace(fail(errc::try_again));
      EXPECT_TRUE(a.self.query_members("g", into(listed)));
    } else if (!*listed && listed->error() == errc::timeout) {
      listed.reset();  // a slow machine missed the deadline: asks again
    }
    return listed && *listed;
  }));
  EXPECT_EQ((*listed)->size(), 1U);
  ASSERT_TRUE(h.w.until([&] { return h.service.iterations() == 0; }));
  EXPECT_LE(h.service.iterations_most(), 8U);
}

}  // namespace
