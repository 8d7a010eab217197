// `cpgring dump` on the rings of a program that a service is connected with, and on files that are no rings.
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "support/command.hpp"
#include "support/world.hpp"

namespace cpgring::test {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

namespace fs = std::filesystem;

std::string bytes_of_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// The folder with the rings between a service and the program with this pid.
fs::path folder_of(pid_t client) {
  for (const auto& entry : fs::directory_iterator("/dev/shm")) {
    const auto name = entry.path().filename().string();
    if (name.starts_with("qb-") && name.find(fmt::format("-{}-", client)) != std::string::npos) {
      return entry.path();
    }
  }
  return {};
}

/// A member of a group that has stopped, with two messages and their sender's views in its event ring.
struct command_dump : ::testing::Test {
  void SetUp() override {
    ASSERT_TRUE(listener.until_it_says("view 1"));
    listener.signal(SIGSTOP);
    folder = folder_of(listener.pid());
    ASSERT_FALSE(folder.empty());
    const auto sent =
        cpgring_command({"send", "--service", w.service(), group}, "first \x01\nsecond, which is longer\n");
    ASSERT_EQ(sent.status, 0) << sent.err;
  }
  ~command_dump() override { listener.signal(SIGCONT); }
  [[nodiscard]] std::string file(const std::string& kind, const std::string& end) const {
    return folder / fmt::format("qb-{}-{}-{}", kind, w.service(), end);
  }

  world w;
  std::string group = world::fresh_group("dump");
  child listener{cpgring_line({"listen", "--service", w.service(), group, "--views"})};
  fs::path folder;
};

TEST_F(command_dump, decodes_what_waits_in_an_event_ring_and_changes_nothing) {
  const auto header = bytes_of_file(file("event", "header")), data = bytes_of_file(file("event", "data"));
  const auto e = cpgring_command({"dump", file("event", "data")});
  EXPECT_EQ(e.status, 0) << e.err << e.out;
  EXPECT_THAT(e.out, HasSubstr(fmt::format("event ring of service '{}'", w.service())));
  EXPECT_THAT(e.out, HasSubstr(fmt::format("{} words, {} bytes", data.size() / 4, data.size())));
  EXPECT_THAT(e.out, ContainsRegex("ready +view, group '" + group +
                                   "'; members .*; joined [0-9]+:[0-9]+ \\(join\\)\n"));
  EXPECT_THAT(e.out, ContainsRegex("ready +message, group '" + group +
                                   "' from [0-9]+:[0-9]+, 7 bytes \"first .x01\"\n"));
  EXPECT_THAT(e.out, HasSubstr("23 bytes \"second, which is longer\"\n"));
  EXPECT_THAT(e.out, Not(HasSubstr("wrong")));
  EXPECT_EQ(bytes_of_file(file("event", "header")), header);
  EXPECT_EQ(bytes_of_file(file("event", "data")), data);
}

TEST_F(command_dump, takes_a_folder_and_prints_each_ring_once) {
  const auto e = cpgring_command({"dump", folder.string(), file("event", "header"), file("request", "data")});
  EXPECT_EQ(e.status, 0) << e.err << e.out;
  for (const auto* kind : {"event", "request", "response"}) {
    const auto head = fmt::format("{} ring of service '{}'", kind, w.service());
    ASSERT_THAT(e.out, HasSubstr(head));
    EXPECT_EQ(e.out.find(head), e.out.rfind(head));
  }
  EXPECT_THAT(e.out, HasSubstr("flow control  off"));
}

TEST_F(command_dump, shows_as_many_bytes_as_wanted) {
  EXPECT_THAT(cpgring_command({"dump", "--bytes", "6", file("event", "data")}).out,
              HasSubstr("23 bytes \"second\"...\n"));
  const auto plain = cpgring_command({"dump", "--as", "none", "--bytes", "0", file("event", "data")}).out;
  EXPECT_THAT(plain, Not(HasSubstr("message")));
}

TEST_F(command_dump, fails_on_a_ring_that_contradicts_itself) {
  const fs::path copy = fs::temp_directory_path() / fmt::format("cpgring-dump-{}", ::getpid());
  fs::create_directory(copy);
  for (const auto* end : {"header", "data"}) {
    fs::copy_file(file("event", end), copy / fmt::format("qb-event-cpg-{}", end));
  }
  fs::resize_file(copy / "qb-event-cpg-data", 4096);
  const auto short_data = cpgring_command({"dump", copy.string()});
  EXPECT_EQ(short_data.status, 1);
  EXPECT_THAT(short_data.out, HasSubstr("; it has 4096 bytes\n"));
  fs::resize_file(copy / "qb-event-cpg-header", 100);
  const auto short_header = cpgring_command({"dump", copy.string()});
  EXPECT_EQ(short_header.status, 1);
  EXPECT_THAT(short_header.err, HasSubstr("the header file has 100 bytes, that of a ring has at least 8248"));
  fs::remove_all(copy);
}

TEST(command_dump_of_no_ring, says_what_to_name) {
  const auto none = cpgring_command({"dump"});
  EXPECT_EQ(none.status, 2);
  const auto other = cpgring_command({"dump", "/etc/passwd"});
  EXPECT_EQ(other.status, 2);
  EXPECT_THAT(other.err,
              HasSubstr("'/etc/passwd' is no ring; name a file that ends in '-header' or '-data'"));
  EXPECT_THAT(other.out, IsEmpty());
  const auto missing = cpgring_command({"dump", "/nowhere/qb-event-cpg-header"});
  EXPECT_EQ(missing.status, 3);
  EXPECT_EQ(missing.err, "cpgring: can't open '/nowhere/qb-event-cpg-header': No such file or directory\n");
}

}  // namespace
}  // namespace cpgring::test
