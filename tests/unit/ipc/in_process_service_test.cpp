// The in-process service of other tests: requests, answers and events pass in both directions.
#include "support/in_process_service.hpp"

#include <filesystem>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "support/hostile_service.hpp"
#include "unit/ipc/no_leak.hpp"

namespace {

using namespace cpgring;
using cpgring::test::in_process_service;
namespace wire = cpgring::cpg::wire;

void stage(ipc::connection& on, std::string_view text) {
  std::byte* const at = on.reserve(static_cast<std::uint32_t>(text.size()));
  ASSERT_NE(at, nullptr);
  std::memcpy(at, text.data(), text.size());
  on.stage(static_cast<std::uint32_t>(text.size()));
}

TEST(in_process_service, passes_requests_answers_and_events) {
  const ipc::test::no_leak none;
  in_process_service service;
  auto client = service.connect();
  EXPECT_EQ(client.writable(), ipc::writable::yes);
  stage(client, "request one");
  stage(client, "request two");
  EXPECT_EQ(service.requests_waiting(), 0U);
  EXPECT_EQ(service.take_doorbells(), 0U);
  ASSERT_TRUE(client.flush());
  EXPECT_EQ(service.requests_waiting(), 2U);
  EXPECT_EQ(service.take_doorbells(), 2U);
  EXPECT_EQ(service.take_request()->text(0), "request one");
  EXPECT_EQ(service.take_requests().size(), 1U);
  EXPECT_FALSE(service.take_request());

  client.answers().expect(static_cast<std::uint32_t>(wire::response::join), 24, 7);
  service.answer(cpgring::test::answer_of(wire::response::join, 24));
  ipc::answer got;
  ASSERT_EQ(client.answers().next(got), ipc::read_result::frame);
  EXPECT_EQ(got.token, 7U);
  service.send_event(cpgring::test::message_event("g", 5, "hello"));
  ASSERT_EQ(client.events().collect(), 1U);
}

TEST(in_process_service, sets_flow_control_hangs_up_and_breaks_rings) {
  using ring = in_process_service::ring;
  {
    in_process_service service;
    auto client = service.connect();
    service.set_flow_control(2);
    EXPECT_EQ(client.writable(), ipc::writable::flow_control);
    service.set_flow_control(0);
    EXPECT_EQ(client.writable(), ipc::writable::yes);
    EXPECT_FALSE(service.client_gone());
    service.hang_up();
    EXPECT_TRUE(client.hung_up());
    EXPECT_EQ(client.writable(), ipc::writable::hung_up);
  }
  for (const ring which : {ring::request, ring::response, ring::event}) {
    in_process_service service;
    auto client = service.connect();
    service.break_ring(which);
    if (which == ring::request) {
      EXPECT_EQ(client.writable(), ipc::writable::hung_up);
      EXPECT_FALSE(client.fault());
    } else {
      auto& reader = which == ring::event ? client.events() : client.responses();
      reader.collect();
      ipc::frame one;
      EXPECT_EQ(reader.next(one), ipc::read_result::broken);
    }
  }
}

TEST(in_process_service, detects_a_closed_client_and_removes_its_files) {
  const auto count = [] {
    std::size_t found = 0;
    for (const auto& one : std::filesystem::directory_iterator("/dev/shm")) {
      found += one.path().string().find("cpgring-test-in-process-" + std::to_string(::getpid())) !=
                       std::string::npos
                   ? 1
                   : 0;
    }
    return found;
  };
  const auto before = count();
  {
    in_process_service service;
    EXPECT_EQ(count(), before + 1);
    auto client = service.connect();
    client.hang_up();
    EXPECT_TRUE(service.client_gone());
  }
  EXPECT_EQ(count(), before);
}

}  // namespace
