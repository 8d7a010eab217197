// The mapping of keys to workers.
#include "dispatch/router.hpp"

#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

namespace {

using cpgring::dispatch::worker_of;

TEST(router, maps_each_key_to_one_worker_and_uses_all_workers) {
  for (const std::uint32_t workers : {1U, 2U, 3U, 7U}) {
    std::vector<int> each(workers);
    for (std::uint64_t key = 0; key < 1000; ++key) {
      const auto worker = worker_of(key, workers);
      ASSERT_LT(worker, workers);
      EXPECT_EQ(worker, worker_of(key, workers));
      ++each[worker];
    }
    EXPECT_GT(*std::min_element(each.begin(), each.end()), static_cast<int>(1000 / workers / 2))
        << "consecutive keys are spread over all workers";
  }
}

}  // namespace
