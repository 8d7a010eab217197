// cpgring::function, the type of all callbacks and completions: storage, moves and destruction.
#include <cpgring/function.hpp>

#include <array>
#include <memory>
#include <string>

#include <gtest/gtest.h>

namespace {

using cpgring::function;

int doubled(int x) { return 2 * x; }

/// A callable of a chosen size that counts its living instances.
template <std::size_t Size>
struct counted {
  explicit counted(int& living) : living_(&living) { ++living; }
  counted(counted&& other) noexcept : living_(other.living_), calls_(other.calls_) { ++*living_; }
  counted& operator=(counted&&) = delete;
  ~counted() { --*living_; }
  int operator()() { return ++calls_; }
  int* living_;
  int calls_ = 0;
  std::array<std::byte, Size> more_{};
};

TEST(function, holds_a_move_only_callable) {
  static_assert(!std::is_copy_constructible_v<function<int()>>);
  static_assert(std::is_nothrow_move_constructible_v<function<int()>>);
  function<int()> f = [owned = std::make_unique<int>(7)] { return *owned; };
  function<int()> g = std::move(f);
  EXPECT_FALSE(f);
  ASSERT_TRUE(g);
  EXPECT_EQ(g(), 7);
}

TEST(function, accepts_functions_members_and_other_wrappers) {
  EXPECT_EQ(function<int(int)>(&doubled)(21), 42);
  EXPECT_EQ(function<int(int)>(std::function<int(int)>(doubled))(21), 42);
  struct pair {
    int first = 3;
  };
  EXPECT_EQ(function<int(const pair&)>(&pair::first)(pair{}), 3);
  int seen = 0;
  const function<void(int)> ignores_what_is_returned = [&](int x) { return seen = x; };
  ignores_what_is_returned(5);
  EXPECT_EQ(seen, 5);
}

TEST(function, is_empty_when_made_from_an_empty_callable) {
  EXPECT_FALSE(function<void()>());
  EXPECT_FALSE(function<void()>(nullptr));
  EXPECT_FALSE(function<int(int)>(static_cast<int (*)(int)>(nullptr)));
  EXPECT_FALSE(function<void()>(std::function<void()>()));
  EXPECT_FALSE(function<void()>(function<void()>()));
  EXPECT_TRUE(function<void()>(nullptr) == nullptr);
  function<int(int)> f = doubled;
  f = nullptr;
  EXPECT_FALSE(f);
}

template <class Held>
void lives_once() {
  int living = 0;
  {
    function<int()> f{Held(living)};
    EXPECT_EQ(living, 1);
    EXPECT_EQ(f(), 1);
    function<int()> g = std::move(f);
    EXPECT_EQ(living, 1);
    EXPECT_EQ(g(), 2) << "the state moved with the callable";
    f = std::move(g);
    f = std::move(*&f);
    EXPECT_EQ(f(), 3);
    g = function<int()>(Held(living));
    EXPECT_EQ(living, 2);
    g = std::move(f);
    EXPECT_EQ(living, 1);
    EXPECT_EQ(g(), 4);
  }
  EXPECT_EQ(living, 0);
}

TEST(function, destroys_its_callable_once_stored_inline_or_not) {
  lives_once<counted<1>>();
  lives_once<counted<100>>();
}

TEST(function, passes_references_and_move_only_arguments) {
  const function<std::size_t(std::string&, std::unique_ptr<int>)> f = [](std::string& text,
                                                                         std::unique_ptr<int> n) {
    text += std::to_string(*n);
    return text.size();
  };
  std::string text = "x";
  EXPECT_EQ(f(text, std::make_unique<int>(12)), 3U);
  EXPECT_EQ(text, "x12");
}

TEST(function, may_be_replaced_during_its_own_call) {
  int living = 0;
  function<int()> f;
  struct replaces {
    counted<64> self;
    function<int()>* whole;
    int operator()() {
      *whole = [] { return 2; };
      return 1;
    }
  };
  f = replaces{counted<64>(living), &f};
  EXPECT_EQ(f(), 1);
  EXPECT_EQ(living, 0);
  EXPECT_EQ(f(), 2);
}

}  // namespace
