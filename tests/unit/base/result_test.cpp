// result<T>: a value or an error.
#include <cpgring/result.hpp>

#include <memory>
#include <string>
#include <system_error>
#include <type_traits>

#include <gtest/gtest.h>

namespace {

using namespace cpgring;

result<std::unique_ptr<int>> owned(int value) { return std::make_unique<int>(value); }
result<std::unique_ptr<int>> none() { return fail(errc::busy, "not now"); }

static_assert(!std::is_constructible_v<result<int>, std::unique_ptr<int>>);
static_assert(!std::is_default_constructible_v<result<int>>, "a result is given a value or an error");
static_assert(!std::is_convertible_v<result<int>, bool>, "no accidental arithmetic on a result");
static_assert(std::is_nothrow_move_constructible_v<result<std::unique_ptr<int>>>);
static_assert(std::is_nothrow_move_constructible_v<result<void>>);
static_assert(!std::is_copy_constructible_v<result<std::unique_ptr<int>>>);

TEST(result, holds_a_value) {
  auto r = owned(3);
  ASSERT_TRUE(r);
  EXPECT_TRUE(r.has_value());
  EXPECT_EQ(**r, 3);
  EXPECT_EQ(*r->get(), 3);
  EXPECT_EQ(*r.value(), 3);
  const std::unique_ptr<int> taken = *std::move(r);
  EXPECT_EQ(*taken, 3);
}

TEST(result, holds_an_error) {
  const auto r = none();
  ASSERT_FALSE(r);
  EXPECT_FALSE(r.has_value());
  EXPECT_EQ(r.error(), errc::busy);
  EXPECT_EQ(r.error().message(), "not now");
}

TEST(result, converts_from_types_convertible_to_its_value) {
  const result<std::string> text = "literal";
  EXPECT_EQ(*text, "literal");
  const result<std::shared_ptr<const int>> shared = std::make_shared<int>(4);
  EXPECT_EQ(**shared, 4);
}

TEST(result, void_result_is_good_unless_it_failed) {
  const result<void> good, bad = fail(errc::timeout);
  EXPECT_TRUE(good);
  EXPECT_FALSE(bad);
  EXPECT_EQ(bad.error(), errc::timeout);
  EXPECT_NO_THROW(good.value());
}

template <class Result>
void expect_to_throw(const Result& failed) {
  try {
    static_cast<void>(failed.value());
  } catch (const std::system_error& e) {
    EXPECT_EQ(e.code(), make_error_code(errc::exist));
    EXPECT_STREQ(e.what(), "the name 'x' is taken") << "what() is the error's text without additions";
    return;
  }
  FAIL();
}

TEST(result, value_throws_the_error) {
  expect_to_throw(result<int>(fail(errc::exist, "the name 'x' is taken")));
  expect_to_throw(result<void>(fail(errc::exist, "the name 'x' is taken")));
}

TEST(result, value_or_returns_the_alternative_on_error) {
  EXPECT_EQ(result<int>(3).value_or(7), 3);
  const result<int> bad = fail(errc::busy);
  EXPECT_EQ(bad.value_or(7), 7);
  EXPECT_EQ(*none().value_or(std::make_unique<int>(7)), 7);
}

TEST(result, and_then_runs_only_with_a_value) {
  const auto next = [](const std::unique_ptr<int>& p) -> result<long> { return *p + 1; };
  EXPECT_EQ(*owned(3).and_then(next), 4);
  EXPECT_EQ(none().and_then(next).error(), errc::busy);
  const auto of_owner = [](std::unique_ptr<int> p) -> result<int> { return *p; };
  EXPECT_EQ(*owned(3).and_then(of_owner), 3) << "the value is moved into the continuation";
  int calls = 0;
  const auto count = [&calls]() -> result<int> { return ++calls; };
  EXPECT_EQ(*result<void>().and_then(count), 1);
  EXPECT_EQ(result<void>(fail(errc::busy)).and_then(count).error(), errc::busy);
  EXPECT_EQ(calls, 1);
}

TEST(result, transform_wraps_the_returned_value) {
  EXPECT_EQ(*owned(3).transform([](const std::unique_ptr<int>& p) { return std::to_string(*p); }), "3");
  EXPECT_EQ(none().transform([](const std::unique_ptr<int>& p) { return *p; }).error(), errc::busy);
  int seen = 0;
  const result<void> nothing = owned(5).transform([&seen](std::unique_ptr<int> p) { seen = *p; });
  EXPECT_TRUE(nothing);
  EXPECT_EQ(seen, 5);
  EXPECT_EQ(*result<void>().transform([] { return 1; }), 1);
}

TEST(result, or_else_runs_only_with_an_error) {
  const auto instead = [](const error& why) -> result<int> {
    return why == errc::busy ? result<int>(1) : fail(why);
  };
  EXPECT_EQ(*result<int>(3).or_else(instead), 3);
  EXPECT_EQ(*result<int>(fail(errc::busy)).or_else(instead), 1);
  EXPECT_EQ(result<int>(fail(errc::access)).or_else(instead).error(), errc::access);
  EXPECT_TRUE(result<void>(fail(errc::busy)).or_else([](const error&) { return result<void>(); }));
}

}  // namespace
