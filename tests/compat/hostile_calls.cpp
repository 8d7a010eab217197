// Calls of libcpg on a service that sends invalid data; runs with our libcpg.so.4 where no service "cpg"
// exists.
//
// The suite service_uid runs again for each value of CPGRING_LIBCPG_SERVICE_UID, because a process reads it
// once.
#include <unistd.h>

#include <corosync/cpg.h>
#include <algorithm>
#include <array>
#include <climits>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "base/put.hpp"
#include "support/as_uid.hpp"
#include "support/hostile_service.hpp"

namespace {

using namespace cpgring::test;
namespace wire = cpgring::cpg::wire;

struct heard {
  std::vector<std::string> messages, views;
};

cpg_name named(std::string_view text) {
  cpg_name name{};
  name.length = static_cast<std::uint32_t>(text.size());
  std::memcpy(name.value, text.data(), text.size());
  return name;
}

/// A handle that is finalized at the end of its scope.
class program {
 public:
  program() {
    cpg_model_v1_data_t calls{};
    calls.model = CPG_MODEL_V1;
    calls.cpg_deliver_fn = [](cpg_handle_t h, const cpg_name*, std::uint32_t, std::uint32_t, void* data,
                              std::size_t size) {
      of(h).messages.emplace_back(static_cast<const char*>(data), size);
    };
    calls.cpg_confchg_fn = [](cpg_handle_t h, const cpg_name* group, const cpg_address*, std::size_t,
                              const cpg_address*, std::size_t, const cpg_address*,
                              std::size_t) { of(h).views.emplace_back(group->value, group->length); };
    opened =
        cpg_model_initialize(&handle, CPG_MODEL_V1, reinterpret_cast<cpg_model_data_t*>(&calls), &reported);
  }
  program(const program&) = delete;
  program& operator=(const program&) = delete;
  ~program() {
    if (opened == CS_OK) {
      cpg_finalize(handle);
    }
  }
  cs_error_t join(std::string_view group) const {
    const auto name = named(group);
    return cpg_join(handle, &name);
  }
  cs_error_t leave(std::string_view group) const {
    const auto name = named(group);
    return cpg_leave(handle, &name);
  }
  /// Dispatches until that many messages and views have arrived, or a call fails.
  cs_error_t dispatch(std::size_t messages, std::size_t views) const {
    cs_error_t code = CS_OK;
    while (code == CS_OK && (reported.messages.size() < messages || reported.views.size() < views)) {
      code = cpg_dispatch(handle, CS_DISPATCH_ONE);
    }
    return code;
  }

  cpg_handle_t handle = 0;
  cs_error_t opened = CS_ERR_LIBRARY;
  heard reported;

 private:
  static heard& of(cpg_handle_t h) {
    void* context = nullptr;
    cpg_context_get(h, &context);
    return *static_cast<heard*>(context);
  }
};

/// A hostile service whose answers the test replaces.
struct hostile_calls : ::testing::Test {
  void SetUp() override {
    if (std::getenv("CPGRING_LIBCPG_SERVICE_UID") != nullptr) {
      GTEST_SKIP() << "does not depend on CPGRING_LIBCPG_SERVICE_UID";
    }
  }
  std::atomic<std::int32_t> code{wire::status::ok};
  std::atomic<int> lied_to{-1};  // id of the request that gets the false answer
  hostile_service service{[this](hostile_service::client& c, wire::request id, hostile_service::bytes) {
                            if (static_cast<int>(id) != lied_to) {
                              return false;
                            }
                            c.answer(answer_of(wire::response{}, wire::response_header_bytes, code));
                            return true;
                          },
                          "cpg"};
};

struct call {
  const char* name;
  wire::request request;
  std::function<cs_error_t(const program&)> make;
};

const std::vector<call> calls{
    {"join", wire::request::join, [](const program& p) { return p.join("again"); }},
    {"leave", wire::request::leave, [](const program& p) { return p.leave("g"); }},
    {"local_get", wire::request::local_get,
     [](const program& p) {
       unsigned node = 0;
       return cpg_local_get(p.handle, &node);
     }},
    {"membership_get, its beginning", wire::request::iteration_initialize,
     [](const program& p) {
       auto name = named("g");
       std::array<cpg_address, CPG_MEMBERS_MAX> list;
       int count = 0;
       return cpg_membership_get(p.handle, &name, list.data(), &count);
     }},
    {"membership_get, its middle", wire::request::iteration_next,
     [](const program& p) {
       auto name = named("g");
       std::array<cpg_address, CPG_MEMBERS_MAX> list;
       int count = 0;
       return cpg_membership_get(p.handle, &name, list.data(), &count);
     }},
    {"iteration_initialize", wire::request::iteration_initialize,
     [](const program& p) {
       cpg_iteration_handle_t walk = 0;
       return cpg_iteration_initialize(p.handle, CPG_ITERATION_ALL, nullptr, &walk);
     }},
    {"mcast_joined of 2 MB", wire::request::partial_multicast,
     [](const program& p) {
       std::vector<char> bytes(2000000);
       const iovec part{bytes.data(), bytes.size()};
       return cpg_mcast_joined(p.handle, CPG_TYPE_AGREED, &part, 1);
     }},
};

TEST_F(hostile_calls, return_library_for_an_invalid_status_code) {
  for (const auto& one : calls) {
    for (const std::int32_t lie : {0, -1, -13, 29, 31, 99, 101, 257, 1001, 65537, INT_MAX, INT_MIN}) {
      const program p;
      ASSERT_EQ(p.opened, CS_OK);
      ASSERT_EQ(p.join("g"), CS_OK);
      code = lie;
      lied_to = static_cast<int>(one.request);
      EXPECT_EQ(one.make(p), CS_ERR_LIBRARY) << one.name << " with " << lie;
      lied_to = -1;
    }
  }
}

TEST_F(hostile_calls, return_library_for_a_truncated_ok_answer) {
  code = wire::status::ok;
  for (const auto& one : calls) {
    if (one.request == wire::request::join || one.request == wire::request::leave ||
        one.request == wire::request::partial_multicast) {
      continue;  // the status is the whole answer
    }
    const program p;
    ASSERT_EQ(p.opened, CS_OK);
    ASSERT_EQ(p.join("g"), CS_OK);
    lied_to = static_cast<int>(one.request);
    EXPECT_EQ(one.make(p), CS_ERR_LIBRARY) << one.name;
    lied_to = -1;
  }
}

TEST_F(hostile_calls, return_valid_status_codes_unchanged) {
  for (const std::int32_t honest : {CS_ERR_TRY_AGAIN, CS_ERR_NOT_EXIST, CS_ERR_SECURITY}) {
    const program p;
    ASSERT_EQ(p.opened, CS_OK);
    code = honest;
    lied_to = static_cast<int>(wire::request::join);
    EXPECT_EQ(p.join("g"), static_cast<cs_error_t>(honest));
    lied_to = -1;
  }
}

TEST_F(hostile_calls, list_members_by_iteration_never_in_one_request) {
  std::vector<hostile_service::row> rows;
  for (std::uint32_t i = 0; i < 500; ++i) {
    rows.push_back({"crowd", 1 + i % 2, 10000 - i});
  }
  service.list(rows);
  const program p;
  ASSERT_EQ(p.opened, CS_OK);
  auto name = named("crowd");
  std::array<cpg_address, CPG_MEMBERS_MAX + 1> list{};
  int count = 0;
  ASSERT_EQ(cpg_membership_get(p.handle, &name, list.data(), &count), CS_OK);
  EXPECT_EQ(count, CPG_MEMBERS_MAX);
  for (int i = 0; i < count; ++i) {
    EXPECT_EQ(list[static_cast<std::size_t>(i)].nodeid, 1U);
    EXPECT_EQ(list[static_cast<std::size_t>(i)].pid, 9502U + 2U * static_cast<unsigned>(i));
  }
  EXPECT_EQ(list[CPG_MEMBERS_MAX].pid, 0U);
  unsigned node = 0;
  ASSERT_EQ(cpg_local_get(p.handle, &node), CS_OK);  // answered after the iteration was finalized
  EXPECT_EQ(service.iterations(), 0U);
  EXPECT_EQ(service.asked(wire::request::membership), 0U);
}

TEST_F(hostile_calls, end_a_handle_that_gets_an_event_of_another_group) {
  using make = std::function<std::vector<std::byte>(const char*)>;
  for (const make& event :
       {make([](const char* group) { return message_event(group, 1, "not for you"); }),
        make([](const char* group) { return view_event(group, 77); }), make([](const char* group) {
          return fragment_event(group, 1, 1, wire::fragment_type::first, "n");
        })}) {
    const program p;
    ASSERT_EQ(p.opened, CS_OK);
    ASSERT_EQ(p.join("mine"), CS_OK);
    ASSERT_EQ(service.with("mine",
                           [&](hostile_service::client& c) {
                             c.send(message_event("mine", 1, "before"));
                             c.send(event("other"));
                             c.send(message_event("mine", 1, "behind"));
                           }),
              1U);
    EXPECT_EQ(p.dispatch(9, 9), CS_ERR_LIBRARY);
    EXPECT_EQ(p.reported.messages, std::vector<std::string>{"before"});
    EXPECT_EQ(p.reported.views, std::vector<std::string>{"mine"});
    EXPECT_EQ(cpg_dispatch(p.handle, CS_DISPATCH_ALL), CS_ERR_LIBRARY) << "the handle has ended";
    unsigned node = 0;
    EXPECT_EQ(cpg_local_get(p.handle, &node), CS_ERR_LIBRARY);
    EXPECT_EQ(p.reported.messages.size(), 1U);
  }
}

TEST_F(hostile_calls, end_a_handle_in_no_group_that_gets_an_event) {
  const program p;
  ASSERT_EQ(p.opened, CS_OK);
  unsigned node = 0;
  ASSERT_EQ(cpg_local_get(p.handle, &node), CS_OK);
  ASSERT_EQ(service.with("", [](hostile_service::client& c) { c.send(view_event("any", 1)); }), 1U);
  EXPECT_EQ(p.dispatch(1, 1), CS_ERR_LIBRARY);
  EXPECT_TRUE(p.reported.views.empty());
}

// The embedded service lets a handle that has left join another group.
TEST_F(hostile_calls, deliver_the_events_of_all_groups_joined_one_after_another) {
  const program p;
  ASSERT_EQ(p.opened, CS_OK);
  for (const char* group : {"first", "second", "third"}) {
    ASSERT_EQ(p.join(group), CS_OK);
    service.with(group, [&](hostile_service::client& c) { c.send(message_event(group, 1, group)); });
    ASSERT_EQ(p.leave(group), CS_OK);
  }
  EXPECT_EQ(p.dispatch(3, 6), CS_OK);
  EXPECT_EQ(p.reported.messages, (std::vector<std::string>{"first", "second", "third"}));
  EXPECT_EQ(p.reported.views,
            (std::vector<std::string>{"first", "first", "second", "second", "third", "third"}));
}

TEST_F(hostile_calls, keep_only_a_few_unfinished_messages) {
  const program p;
  ASSERT_EQ(p.opened, CS_OK);
  ASSERT_EQ(p.join("mine"), CS_OK);
  std::size_t sent = 0;
  while (sent < 20000) {  // in portions that fit into the ring
    ASSERT_EQ(service.with("mine",
                           [&](hostile_service::client& c) {
                             for (std::uint32_t i = 0; i < 1000; ++i) {
                               c.send(fragment_event("mine", 100 + static_cast<std::uint32_t>(sent++),
                                                     0xFFFFFFFF, wire::fragment_type::first, "x"));
                             }
                             c.send(message_event("mine", 1, "whole"));
                           }),
              1U);
    ASSERT_EQ(p.dispatch(sent / 1000, 0), CS_OK);
  }
  ASSERT_EQ(service.with("mine",
                         [](hostile_service::client& c) {
                           // Until the unfinished messages count as abandoned.
                           for (std::uint32_t i = 0; i < 1024; ++i) {
                             c.send(fragment_event("mine", 8, 2, wire::fragment_type::middle, "x"));
                           }
                           c.send(fragment_event("mine", 7, 4, wire::fragment_type::first, "ab"));
                           c.send(fragment_event("mine", 7, 4, wire::fragment_type::last, "cd"));
                         }),
            1U);
  EXPECT_EQ(p.dispatch(21, 0), CS_OK);
  EXPECT_EQ(p.reported.messages.back(), "abcd");
}

TEST(service_uid, of_a_plain_user_is_refused_unless_the_environment_names_it) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root, to run a service as another user";
  }
  std::optional<hostile_service> service;
  {
    const as_uid who(1000);
    service.emplace(nullptr, "cpg");
  }
  const program p;
  const char* const named_uid = std::getenv("CPGRING_LIBCPG_SERVICE_UID");
  const std::string_view said = named_uid == nullptr ? "" : named_uid;
  if (said == "1000") {
    ASSERT_EQ(p.opened, CS_OK);
    EXPECT_EQ(p.join("g"), CS_OK);
    EXPECT_EQ(p.dispatch(0, 1), CS_OK);
  } else {
    EXPECT_EQ(p.opened, said.empty() || said == "2000" ? CS_ERR_ACCESS : CS_ERR_INVALID_PARAM);
    EXPECT_TRUE(service->requests().empty());
  }
}

}  // namespace
