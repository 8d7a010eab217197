// base::visited: one thread removes an object while other threads may use it.
#include "base/visited.hpp"

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace {

using cpgring::base::visited;

TEST(visited, is_open_without_an_object_until_it_is_closed) {
  visited<int> one;
  {
    const visited<int>::visit here(one);
    EXPECT_TRUE(here.is_open());
    EXPECT_EQ(here.get(), nullptr);
  }
  int object = 1;
  one.show(object);
  EXPECT_EQ(visited<int>::visit(one).get(), &object);
  EXPECT_FALSE(one.closed());
  one.close();
  EXPECT_TRUE(one.closed());
  const visited<int>::visit late(one);
  EXPECT_FALSE(late.is_open());
  EXPECT_EQ(late.get(), nullptr);
}

TEST(visited, close_waits_for_current_visitors) {
  for (int round = 0; round < 200; ++round) {
    visited<std::atomic<int>> one;
    auto object = std::make_unique<std::atomic<int>>(0);
    one.show(*object);
    std::atomic<int> pushed{0};
    std::vector<std::thread> visitors;
    for (int i = 0; i < 3; ++i) {
      visitors.emplace_back([&] {
        for (;;) {
          const visited<std::atomic<int>>::visit here(one);
          if (!here.is_open()) {
            return;
          }
          pushed.fetch_add(1);
          if (auto* const there = here.get()) {
            there->fetch_add(1);  // sanitizers report a use after the reset below
          }
        }
      });
    }
    one.close();
    const int before = pushed;
    object.reset();
    EXPECT_EQ(pushed, before) << "close() waited for every visit that found it open";
    for (auto& each : visitors) {
      each.join();
    }
    EXPECT_EQ(pushed, before);
  }
}

}  // namespace
