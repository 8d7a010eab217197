// Limits of the process that a handle or an engine meets: an error that names the limit and the cure, and no signal.
#include <sys/resource.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "support/refused_io_uring.hpp"
#include "support/world.hpp"

namespace cpgring::test {
namespace {

/// Opens a handle and drives it until it is joined or lost. What it was lost with; empty: it joined.
std::string opened(world& w, std::uint32_t max_message_size) {
  witness one;
  handle_options o = w.options(world::fresh_group());
  o.max_message_size = max_message_size;
  auto opened = w.loop().open(o, one.record());
  if (!opened) {
    return opened.error().message();
  }
  if (!w.until([&] { return one.is(handle_state::joined) || one.is(handle_state::lost); })) {
    return "neither joined nor lost";
  }
  return one.is(handle_state::joined) ? std::string() : one.causes.back().message();
}

TEST(flow_limits, of_file_sizes_is_named_where_the_service_meets_it_and_does_not_concern_a_client) {
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

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they map terabytes themselves
TEST(flow_limits, of_the_address_space_is_named) {
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

TEST(flow_limits, of_locked_memory_does_not_end_an_engine) {
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
                return {};  // it would not let us in
              }
              world w;
              if (const std::string why = opened(w, 65536); !why.empty()) {
                return why;
              }
              // Kernels differ in what they charge.
              return w.loop().stats().backend != wakeup::epoll || w.said("raise RLIMIT_MEMLOCK") ? "" : "nobody says why";
            }),
            "");
}

}  // namespace
}  // namespace cpgring::test
