// The error of a refused call names the limit that was met, its value, and how to raise it.
#include "base/limits.hpp"

#include <sys/mman.h>
#include <sys/resource.h>

#include <cerrno>
#include <string>

#include <gtest/gtest.h>

#include "support/refused_io_uring.hpp"

namespace {

using namespace cpgring;
using cpgring::test::in_a_child;

bool contains(const error& why, std::string_view part) {
  return why.message().find(part) != std::string::npos;
}

TEST(limits, enomem_without_rlimit_as_names_max_map_count) {
  const error why = base::mapping_refused(ENOMEM, 4096, "a ring");
  EXPECT_EQ(why, errc::no_mappings);
  EXPECT_TRUE(contains(why, "raise vm.max_map_count (now ")) << why.message();
  EXPECT_FALSE(contains(why, "RLIMIT_AS")) << why.message();
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // sanitizers map terabytes themselves
TEST(limits, a_mapping_beyond_rlimit_as_names_rlimit_as) {
  EXPECT_EQ(in_a_child([]() -> std::string {
              const rlimit little{std::size_t{256} << 20, std::size_t{256} << 20};
              ::setrlimit(RLIMIT_AS, &little);
              const std::size_t bytes = std::size_t{1} << 30;
              if (::mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED) {
                return "the mapping succeeded despite RLIMIT_AS";
              }
              const error why = base::mapping_refused(errno, bytes, "a ring");
              const error thread = base::thread_refused(EAGAIN, "starting a thread");
              const bool good = why == errc::no_mappings &&
                                contains(why, "raise RLIMIT_AS (now 268435456 bytes") &&
                                contains(thread, "raise RLIMIT_NPROC");
              return good ? "" : why.message() + " " + thread.message();
            }),
            "");
}

TEST(limits, a_thread_stack_beyond_rlimit_as_names_rlimit_as) {
  EXPECT_EQ(in_a_child([]() -> std::string {
              const rlimit stack{std::size_t{1} << 30, RLIM_INFINITY},
                  little{std::size_t{512} << 20, std::size_t{512} << 20};
              ::setrlimit(RLIMIT_STACK, &stack);
              ::setrlimit(RLIMIT_AS, &little);
              const error why = base::thread_refused(EAGAIN, "starting a thread");
              return why == errc::no_memory && contains(why, "raise RLIMIT_AS") ? "" : why.message();
            }),
            "");
}
#endif

TEST(limits, eagain_of_a_mapping_names_rlimit_memlock) {
  const error why = base::mapping_refused(EAGAIN, 4096, "a ring");
  EXPECT_EQ(why, errc::no_memory);
  EXPECT_TRUE(contains(why, "raise RLIMIT_MEMLOCK (now ")) << why.message();
}

TEST(limits, other_errors_name_no_limit) {
  const error why = base::mapping_refused(EACCES, 4096, "a ring");
  EXPECT_EQ(why.code, std::error_code(EACCES, std::system_category()));
  EXPECT_FALSE(contains(why, "raise")) << why.message();
  EXPECT_FALSE(contains(base::thread_refused(EPERM, "starting a thread"), "raise"));
}

}  // namespace
