// Which files are accepted as ring files, by owner and type, and which are removed.
#include "ipc/ring_directory.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "unit/ipc/no_leak.hpp"
#include "unit/ipc/raw_ring.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::ipc;
using namespace cpgring::ipc::test;

constexpr uid_t somebody = 1000, somebody_else = 2000;

TEST(ring_owners, may_be_the_service_and_for_a_root_service_also_the_client) {
  const ring_owners of_root{0, somebody}, of_somebody{somebody, 0}, of_both{somebody, somebody},
      of_another{somebody, somebody_else};
  EXPECT_TRUE(of_root.may_own_file(0) && of_root.may_own_file(somebody));
  EXPECT_FALSE(of_root.may_own_file(somebody_else));
  EXPECT_TRUE(of_somebody.may_own_file(somebody));
  EXPECT_FALSE(of_somebody.may_own_file(0)) << "files of root belong to another connection";
  EXPECT_TRUE(of_both.may_own_file(somebody));
  EXPECT_FALSE(of_both.may_own_file(0));
  EXPECT_TRUE(of_another.may_own_file(somebody));
  EXPECT_FALSE(of_another.may_own_file(somebody_else));
  EXPECT_TRUE(of_another.may_own_directory(0) && of_another.may_own_directory(somebody) &&
              of_another.may_own_directory(somebody_else));
  EXPECT_FALSE(of_root.may_own_directory(somebody_else));
}

struct a_ring_directory : ::testing::Test {
  a_ring_directory() { std::filesystem::create_directory(path); }
  ~a_ring_directory() override { std::filesystem::remove_all(path); }

  static void write(const std::string& file) { std::ofstream(file) << "ring"; }
  result<ring_directory> open(ring_owners owners = {::geteuid(), ::geteuid()}) const {
    return ring_directory::open(path, owners);
  }
  template <class T>
  static void expect_error(const result<T>& made, std::error_code code, const std::string& words) {
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, code) << made.error().message();
    EXPECT_NE(made.error().text.find(words), std::string::npos) << made.error().text;
  }

  const no_leak none;
  const std::string path = "/dev/shm/" + fresh_name("files");
};

TEST_F(a_ring_directory, opens_a_file_and_reports_its_size) {
  write(path + "/ring");
  auto directory = open();
  ASSERT_TRUE(directory) << directory.error().message();
  const auto file = directory->open_file("ring");
  ASSERT_TRUE(file) << file.error().message();
  EXPECT_EQ(file->size, 4U);
  EXPECT_NE(::fcntl(file->fd.get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(a_ring_directory, stays_the_opened_one_after_a_rename) {
  write(path + "/ring");
  auto directory = open();
  ASSERT_TRUE(directory);
  std::filesystem::rename(path, path + "-moved");
  std::filesystem::create_directory(path);
  const auto file = directory->open_file("ring");
  EXPECT_TRUE(file) << file.error().message();
  std::filesystem::remove_all(path + "-moved");
}

TEST_F(a_ring_directory, refuses_a_link_as_directory) {
  std::filesystem::create_directory_symlink(path, path + "-link");
  expect_error(ring_directory::open(path + "-link", {::geteuid(), ::geteuid()}),
               {ENOTDIR, std::system_category()}, path + "-link");
  std::filesystem::remove(path + "-link");
}

TEST_F(a_ring_directory, refuses_a_file_as_directory) {
  write(path + "/ring");
  expect_error(ring_directory::open(path + "/ring", {::geteuid(), ::geteuid()}),
               {ENOTDIR, std::system_category()}, path);
}

TEST_F(a_ring_directory, names_the_path_of_a_missing_directory) {
  expect_error(ring_directory::open(path + "/none", {0, 0}), {ENOENT, std::system_category()},
               path + "/none");
}

TEST_F(a_ring_directory, refuses_links_and_special_files) {
  write(path + "/ring");
  std::filesystem::create_symlink(path + "/ring", path + "/link");
  std::filesystem::create_hard_link(path + "/ring", path + "/second");
  ASSERT_EQ(::mkfifo((path + "/fifo").c_str(), 0600), 0);
  auto directory = open();
  ASSERT_TRUE(directory);
  expect_error(directory->open_file("link"), {ELOOP, std::system_category()}, path + "/link");
  expect_error(directory->open_file("ring"), errc::malformed, "a file that has 2 names");
  expect_error(directory->open_file("fifo"), errc::malformed, "no regular file");
}

TEST_F(a_ring_directory, is_refused_when_owned_by_another_user) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "only root can change the owner of files";
  }
  write(path + "/ring");
  const auto give = [](const std::string& file, uid_t to) { ASSERT_EQ(::chown(file.c_str(), to, 0), 0); };
  give(path, somebody_else);
  expect_error(open({0, 0}), errc::malformed,
               path + " belongs to uid 2000; a service of uid 0 can't have made it for a client of uid 0");
  give(path, somebody);
  give(path + "/ring", somebody_else);
  auto of_root = open({0, somebody});
  ASSERT_TRUE(of_root) << of_root.error().message();
  expect_error(of_root->open_file("ring"), errc::malformed, "/ring belongs to uid 2000");
  give(path + "/ring", somebody);
  EXPECT_TRUE(of_root->open_file("ring"));
  give(path + "/ring", 0);
  EXPECT_TRUE(of_root->open_file("ring"));
  auto of_somebody = open({somebody, 0});
  ASSERT_TRUE(of_somebody);
  expect_error(of_somebody->open_file("ring"), errc::malformed,
               "/ring belongs to uid 0; a service of uid 1000 can't have made it for a client of uid 0");
}

TEST_F(a_ring_directory, removes_opened_files_and_itself) {
  write(path + "/one");
  write(path + "/two");
  auto directory = open();
  ASSERT_TRUE(directory && directory->open_file("one") && directory->open_file("two"));
  directory->close();
  directory->remove_opened();
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(a_ring_directory, keeps_files_that_were_not_opened) {
  write(path + "/one");
  write(path + "/other");
  auto directory = open();
  ASSERT_TRUE(directory && directory->open_file("one"));
  directory->remove_opened();
  EXPECT_FALSE(std::filesystem::exists(path + "/one"));
  EXPECT_TRUE(std::filesystem::exists(path + "/other"));
}

TEST_F(a_ring_directory, keeps_a_new_file_with_the_name_of_an_opened_one) {
  write(path + "/one");
  auto directory = open();
  ASSERT_TRUE(directory);
  const auto kept = directory->open_file("one");  // keeps the inode from being reused
  ASSERT_TRUE(kept);
  std::filesystem::remove(path + "/one");
  write(path + "/one");
  directory->remove_opened();
  EXPECT_TRUE(std::filesystem::exists(path + "/one"));
}

TEST_F(a_ring_directory, keeps_a_new_directory_or_link_with_its_name) {
  write(path + "/one");
  auto directory = open();
  ASSERT_TRUE(directory && directory->open_file("one"));
  std::filesystem::rename(path, path + "-moved");
  std::filesystem::create_directory(path);
  write(path + "/one");
  directory->remove_opened();
  EXPECT_TRUE(std::filesystem::exists(path + "/one"));
  std::filesystem::remove_all(path);
  std::filesystem::create_directory_symlink(path + "-moved", path);
  directory->remove_opened();
  EXPECT_TRUE(std::filesystem::exists(path + "-moved/one"));
  std::filesystem::remove(path);
  std::filesystem::remove_all(path + "-moved");
}

}  // namespace
