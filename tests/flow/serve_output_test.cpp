// `cpgring serve` continues when its standard error can not be written.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include <gtest/gtest.h>

#include "base/owned.hpp"
#include "support/command.hpp"
#include "support/raw_connection.hpp"
#include "support/raw_requests.hpp"
#include "support/world.hpp"

namespace cpgring::test {
namespace {

class serve_output : public ::testing::Test {
 protected:
  /// `redirect`: the shell's redirection of standard error.
  void start(const std::string& redirect) {
    serve = std::make_unique<child>(std::vector<std::string>{
        "sh", "-c", "exec " CPGRING_COMMAND " serve --name " + name + " " + redirect});
    ASSERT_TRUE(serve->until_it_says("serving"));
  }
  /// Sends requests that cause one warning each, and waits for each answer.
  void cause_warnings(int count) {
    auto connection = raw_connect(name, 65536);
    const auto unknown =
        cpg::make_request(static_cast<cpg::wire::request>(99), cpg::wire::request_header_bytes);
    for (int i = 0; i < count; ++i) {
      ASSERT_FALSE(ask_raw(connection, unknown).empty()) << "after " << i << " warnings";
    }
  }
  void ends_in_good_order() {
    serve->signal(SIGTERM);
    EXPECT_EQ(serve->wait().status, 0);
  }

  const std::string name = world::fresh_group("serve");
  std::unique_ptr<child> serve;
};

TEST_F(serve_output, to_a_full_disk_does_not_end_the_service) {
  start("2>/dev/full");
  cause_warnings(50);
  ends_in_good_order();
}

TEST_F(serve_output, to_a_pipe_that_nobody_reads_does_not_block_the_service) {
  const std::string fifo = ::testing::TempDir() + name;
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  base::unique_fd reader(::open(fifo.c_str(), O_RDWR | O_CLOEXEC));
  start("2>" + fifo);
  cause_warnings(4000);  // more than the pipe holds
  reader.reset();        // now the pipe has no reader
  cause_warnings(10);
  ends_in_good_order();
  ::unlink(fifo.c_str());
}

}  // namespace
}  // namespace cpgring::test
