// Which rings a path means, and copies of files that are missing, short, large, or no files.
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "cli/ring_files.hpp"
#include "inspect/ring.hpp"

namespace cpgring::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

namespace fs = std::filesystem;

struct ring_files : ::testing::Test {
  ring_files() { fs::create_directory(folder); }
  ~ring_files() override { fs::remove_all(folder); }
  [[nodiscard]] std::string path(const std::string& name) const { return folder / name; }
  void make(const std::string& name, std::size_t size) const {
    std::ofstream(path(name)) << "";
    fs::resize_file(path(name), size);
  }

  const fs::path folder = fs::temp_directory_path() / fmt::format("cpgring-ring-files-{}", ::getpid());
};

TEST_F(ring_files, a_ring_is_named_by_either_file_or_by_what_they_share) {
  EXPECT_THAT(*rings_at("/x/qb-event-cpg-header"), ElementsAre("/x/qb-event-cpg"));
  EXPECT_THAT(*rings_at("/x/qb-event-cpg-data"), ElementsAre("/x/qb-event-cpg"));
  make("ring-header", 1);
  EXPECT_THAT(*rings_at(path("ring")), ElementsAre(path("ring")));
}

TEST_F(ring_files, a_folder_names_all_its_rings_in_order) {
  for (const auto* name : {"b-header", "b-data", "a-header", "a-data", "other"}) {
    make(name, 1);
  }
  EXPECT_THAT(*rings_at(folder), ElementsAre(path("a"), path("b")));
}

TEST_F(ring_files, what_is_no_ring_is_refused_with_advice) {
  const auto empty = rings_at(folder);
  ASSERT_FALSE(empty);
  EXPECT_EQ(empty.error(), errc::invalid_param);
  EXPECT_THAT(empty.error().text, HasSubstr("/dev/shm/qb-*"));
  make("other", 1);
  EXPECT_EQ(rings_at(path("other")).error(), errc::invalid_param);
  EXPECT_EQ(rings_at(path("missing")).error().code, std::error_code(ENOENT, std::system_category()));
}

TEST_F(ring_files, are_copied_up_to_the_known_part_of_the_header) {
  make("ring-header", 9000);
  make("ring-data", 3000000);
  const auto copy = copy_ring(path("ring"));
  ASSERT_TRUE(copy) << copy.error().message();
  EXPECT_THAT(copy->header, SizeIs(inspect::header_bytes));
  EXPECT_THAT(copy->data, SizeIs(3000000));
  EXPECT_FALSE(copy->moved);
}

TEST_F(ring_files, that_are_missing_or_no_regular_files_are_errors) {
  make("ring-header", 9000);
  EXPECT_THAT(copy_ring(path("ring")).error().text, HasSubstr("can't open '" + path("ring-data") + "'"));
  ASSERT_EQ(::mkfifo(path("ring-data").c_str(), 0600), 0);
  EXPECT_THAT(copy_ring(path("ring")).error().text, HasSubstr("no regular file"));
  fs::remove(path("ring-data"));
  make("ring-data", inspect::data_bytes_max + 1);
  EXPECT_EQ(copy_ring(path("ring")).error(), errc::invalid_param);
}

// A mapping would end the program with SIGBUS here.
TEST_F(ring_files, that_shrink_and_grow_meanwhile_are_copied) {
  make("ring-header", 9000);
  make("ring-data", 4096);
  std::atomic<bool> over{false};
  std::thread other([&] {
    for (std::size_t size = 0; !over.load(); size = size == 0 ? std::size_t{8} << 20 : 0) {
      fs::resize_file(path("ring-data"), size);
      fs::resize_file(path("ring-header"), size == 0 ? 4 : 9000);
    }
  });
  for (int i = 0; i < 50; ++i) {
    const auto copy = copy_ring(path("ring"));
    EXPECT_TRUE(copy);
    static_cast<void>(inspect::describe_ring(copy->header, copy->data));
  }
  over.store(true);
  other.join();
}

TEST_F(ring_files, are_copied_again_until_the_positions_stay_and_not_for_ever) {
  make("ring-header", 9000);
  make("ring-data", 4096);
  int calls = 0;
  const auto changing = [&](int most) {
    calls = 0;
    return [this, &calls, most] {
      if (++calls <= most) {
        std::fstream header(path("ring-header"), std::ios::in | std::ios::out | std::ios::binary);
        header.write(reinterpret_cast<const char*>(&calls), sizeof calls);
      }
    };
  };
  EXPECT_FALSE(copy_ring(path("ring"), changing(3))->moved);
  EXPECT_EQ(calls, 4);
  EXPECT_TRUE(copy_ring(path("ring"), changing(1000))->moved);
  EXPECT_EQ(calls, 10);
}

}  // namespace
}  // namespace cpgring::cli
