// Engines and services from create(): errors are values, and both are movable.
#include <chrono>
#include <string>
#include <system_error>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/world.hpp"

namespace cpgring::test {
namespace {

using ::testing::HasSubstr;

/// Drives `loop` until the state of `h` is `wanted`.
bool reaches(engine& loop, const handle& h, handle_state wanted) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (h.state() != wanted && std::chrono::steady_clock::now() < end) {
    static_cast<void>(loop.dispatch(mode::blocking, budget{1, 0, std::chrono::milliseconds(10)}));
  }
  return h.state() == wanted;
}

handle open_on(engine& loop, const embedded_service& service) {
  handle_options options;
  options.service = service.name();
  options.group = world::fresh_group();
  auto opened = loop.open(options, {});
  EXPECT_TRUE(opened);
  return *opened;
}

engine_options out_of_range() {
  engine_options options;
  options.reactors = 0;
  return options;
}

TEST(create, reports_which_engine_option_is_invalid) {
  const auto made = engine::create(out_of_range());
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error(), errc::invalid_param);
  EXPECT_THAT(made.error().message(), HasSubstr("reactors"));
}

TEST(create, returns_the_error_that_the_constructor_throws) {
  const auto made = engine::create(out_of_range());
  ASSERT_FALSE(made);
  try {
    const engine thrown(out_of_range());
    FAIL();
  } catch (const std::system_error& e) {
    EXPECT_EQ(e.code(), made.error().code);
    EXPECT_EQ(e.what(), made.error().message());
  }
}

TEST(create, a_multicast_before_the_engine_is_driven_says_so) {
  const embedded_service service;
  engine loop;
  handle h = open_on(loop, service);
  const auto sent = h.multicast("too early");
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error(), errc::not_joined);
  EXPECT_THAT(sent.error().message(), HasSubstr("nobody drives the engine"));
  EXPECT_TRUE(reaches(loop, h, handle_state::joined));
  EXPECT_TRUE(h.multicast("now"));
}

TEST(create, reports_a_taken_service_name) {
  const auto service = embedded_service::create();
  ASSERT_TRUE(service);
  embedded_service_options same;
  same.name = service->name();
  const auto second = embedded_service::create(same);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error(), errc::exist);
}

TEST(create, makes_movable_engines_and_services) {
  auto service = embedded_service::create();
  ASSERT_TRUE(service);
  auto loop = engine::create();
  ASSERT_TRUE(loop);
  const handle first = open_on(*loop, *service);
  ASSERT_TRUE(reaches(*loop, first, handle_state::joined));
  engine moved_loop(*std::move(loop));
  const embedded_service moved_service(*std::move(service));
  const handle second = open_on(moved_loop, moved_service);
  EXPECT_TRUE(reaches(moved_loop, second, handle_state::joined));
  EXPECT_EQ(first.state(), handle_state::joined);
}

TEST(create, assigning_to_an_engine_ends_its_previous_handles) {
  const embedded_service service;
  engine loop;
  const handle before = open_on(loop, service);
  ASSERT_TRUE(reaches(loop, before, handle_state::joined));
  loop = engine();
  EXPECT_NE(before.state(), handle_state::joined);
  const handle after = open_on(loop, service);
  EXPECT_TRUE(reaches(loop, after, handle_state::joined));
}

TEST(create, assigning_to_a_service_stops_the_previous_one) {
  embedded_service service;
  const auto name = service.name();
  service = embedded_service();
  embedded_service_options same;
  same.name = name;
  EXPECT_TRUE(embedded_service::create(same)) << "the name is free";
}

}  // namespace
}  // namespace cpgring::test
