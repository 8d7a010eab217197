// Resource limits that a handle or an engine reaches give an error that names the limit and its remedy, and
// no signal.
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "support/refused_io_uring.hpp"
#include "support/world.hpp"

namespace cpgring::test {
namespace {

/// Opens a handle and drives the engine until it is joined or lost. Returns the cause of the loss; empty:
/// joined.
std::string opened(world& w, std::uint32_t ring_bytes) {
  witness one;
  handle_options o = w.options(world::fresh_group());
  o.ring_bytes = ring_bytes;
  auto opened = w.loop().open(o, one.record());
  if (!opened) {
    return opened.error().message();
  }
  if (!w.until([&] { return one.is(handle_state::joined) || one.is(handle_state::lost); })) {
    return "neither joined nor lost";
  }
  return one.is(handle_state::joined) ? std::string() : one.causes.back().message();
}

/// The number of ring mappings in this process.
std::size_t mapped_rings() {
  std::ifstream maps("/proc/self/maps");
  std::size_t count = 0;
  for (std::string text; std::getline(maps, text);) {
    count += text.find("/dev/shm/qb-") != std::string::npos ? 1 : 0;
  }
  return count;
}

/// The README, error texts and the limits that `cpgring load` checks contain this number.
TEST(flow_limits, a_handle_has_nine_mappings) {
  world w;
  const std::size_t before = mapped_rings();
  std::vector<std::unique_ptr<witness>> all;
  for (int i = 0; i < 10; ++i) {
    all.push_back(std::make_unique<witness>());
    ASSERT_TRUE(w.loop().open(w.options(world::fresh_group()), all.back()->record()).has_value());
    ASSERT_TRUE(w.until([&] { return all.back()->is(handle_state::joined); }));
  }
  // An embedded service maps the same rings in this process too.
  EXPECT_EQ(mapped_rings() - before, all.size() * 9 * (world::embedded() ? 2 : 1));
}

TEST(flow_limits, rlimit_fsize_of_the_service_is_named_and_that_of_a_client_does_not_matter) {
  EXPECT_EQ(in_a_child([]() -> std::string {
              world w;
              const rlimit little{std::size_t{64} << 10, std::size_t{64} << 10};
              ::setrlimit(RLIMIT_FSIZE, &little);
              const std::string why = opened(w, 1 << 20);
              const bool named = why.find("raise the service's RLIMIT_FSIZE") != std::string::npos;
              return named == world::embedded() && (named || why.empty()) ? "" : "said: " + why;
            }),
            "");
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // sanitizers map terabytes
TEST(flow_limits, rlimit_as_is_named_when_it_is_reached) {
  EXPECT_EQ(in_a_child([]() -> std::string {
              world w;
              if (const std::string why = opened(w, 65536); !why.empty()) {
                return "without a limit: " + why;
              }
              const rlimit little{std::size_t{300} << 20, std::size_t{300} << 20};
              ::setrlimit(RLIMIT_AS, &little);
              for (int i = 0; i < 100; ++i) {
                if (const std::string why = opened(w, 32 << 20); !why.empty()) {
                  return why.find("RLIMIT_AS") != std::string::npos ? "" : "said: " + why;
                }
              }
              return "there is no limit";
            }),
            "");
}
#endif

TEST(flow_limits, rlimit_memlock_of_zero_does_not_end_an_engine) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "only root can become somebody whose locked memory is limited";
  }
  EXPECT_EQ(in_a_child([]() -> std::string {
              const rlimit none{0, 0};
              ::setrlimit(RLIMIT_MEMLOCK, &none);
              if (::setresuid(65534, 65534, 65534) != 0) {
                return "no other uid";
              }
              if (!world::embedded()) {
                return {};  // a daemon refuses this user
              }
              world w;
              if (const std::string why = opened(w, 65536); !why.empty()) {
                return why;
              }
              // Kernels differ in what they count as locked memory.
              return w.loop().stats().backend != wakeup::epoll || w.said("raise RLIMIT_MEMLOCK")
                         ? ""
                         : "the log does not say why";
            }),
            "");
}

}  // namespace
}  // namespace cpgring::test
