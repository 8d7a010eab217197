// Opening a ring: refusals, the reference count, and no leftovers.
#include "ipc/shared_ring.hpp"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstdio>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "unit/ipc/qb_ring.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::ipc;
using namespace cpgring::ipc::test;

void expect_refused(const raw_ring& raw, std::uint32_t max_message_size, errc code,
                    const std::string& words) {
  auto ring = open_ring(raw.base(), max_message_size, true);
  ASSERT_FALSE(ring);
  EXPECT_EQ(ring.error(), code) << ring.error().message();
  EXPECT_NE(ring.error().text.find(words), std::string::npos) << ring.error().text;
}

TEST(shared_ring, maps_the_data_twice_back_to_back) {
  raw_ring raw(8192);
  raw.set_word(0, 0x11111111);
  raw.set_word(2047, 0x22222222);
  auto ring = open_ring(raw.base(), raw.max_message_size(), true);
  ASSERT_TRUE(ring) << ring.error().message();
  EXPECT_EQ(ring->words(), 2048U);
  EXPECT_EQ(*ring->word(2047), 0x22222222U);
  EXPECT_EQ(*ring->word(2048), 0x11111111U);
  *ring->word(2049) = 7;
  EXPECT_EQ(raw.word(1), 7U);
  EXPECT_EQ(ring->shm_bytes(), 8252U + 8192U);
}

TEST(shared_ring, opens_rings_of_libqb_and_counts_its_reference) {
  for (std::uint32_t max : {4083U, 4084U, 16384U, 65536U, 1048576U}) {
    qb_ring qb(max);
    EXPECT_EQ(qb_rb_refcount_get(qb.get()), 1);
    {
      const shared_ring ring = qb.open_ours();
      EXPECT_EQ(ring.bytes(), (max + 13 + 4095) / 4096 * 4096);
      EXPECT_EQ(qb_rb_refcount_get(qb.get()), 2);
    }
    EXPECT_EQ(qb_rb_refcount_get(qb.get()), 1);
  }
}

TEST(shared_ring, counts_one_reference_even_when_moved) {
  raw_ring raw;
  {
    auto first = open_ring(raw.base(), raw.max_message_size(), false);
    ASSERT_TRUE(first);
    EXPECT_EQ(raw.get(cf::reference_count), 2U);
    shared_ring second(std::move(*first));
    EXPECT_EQ(raw.get(cf::reference_count), 2U);
  }
  EXPECT_EQ(raw.get(cf::reference_count), 1U);
}

TEST(shared_ring, keeps_files_and_their_sizes) {
  raw_ring raw(4096, 9000);
  { ASSERT_TRUE(open_ring(raw.base(), raw.max_message_size(), true)); }
  struct stat st {};
  ASSERT_EQ(::stat(raw.header_path().c_str(), &st), 0);
  EXPECT_EQ(st.st_size, 9000);
  ASSERT_EQ(::stat(raw.data_path().c_str(), &st), 0);
  EXPECT_EQ(st.st_size, 4096);
}

TEST(shared_ring, is_refused_when_header_and_data_disagree) {
  raw_ring raw(8192);
  raw.set(cf::data_words, 1024);
  expect_refused(raw, 1000, errc::malformed, "word count is 1024 (4096 bytes), its data file has 8192 bytes");
  raw.set(cf::data_words, 0);
  expect_refused(raw, 1000, errc::malformed, "word count is 0");
  raw.set(cf::data_words, 0xFFFFFFFF);
  expect_refused(raw, 1000, errc::malformed, "word count is 4294967295");
}

TEST(shared_ring, is_refused_when_it_is_smaller_than_the_handshake_promised) {
  raw_ring raw(8192);
  expect_refused(raw, 8192 - 12, errc::malformed, "at least 8193 bytes");
  EXPECT_TRUE(open_ring(raw.base(), 8192 - 13, true));
}

TEST(shared_ring, is_refused_unless_whole_pages) {
  raw_ring raw(6000);
  expect_refused(raw, 1000, errc::malformed, "whole pages");
}

TEST(shared_ring, is_refused_when_a_file_is_empty_or_short) {
  raw_ring no_header(4096, 0);
  raw_ring short_header(4096, 8247);
  raw_ring just_enough(4096, 8248);
  ::truncate(no_header.header_path().c_str(), 0);
  ::truncate(short_header.header_path().c_str(), 8247);
  expect_refused(no_header, 1000, errc::malformed, "has 0 bytes, a ring header has at least 8248");
  expect_refused(short_header, 1000, errc::malformed, "has 8247 bytes");
  EXPECT_TRUE(open_ring(just_enough.base(), 1000, true));
  raw_ring no_data(4096);
  ::truncate(no_data.data_path().c_str(), 0);
  expect_refused(no_data, 1000, errc::malformed, "its data file has 0 bytes");
}

TEST(shared_ring, does_not_follow_a_link) {
  raw_ring raw;
  const std::string base = "/dev/shm/" + fresh_name("link");
  ASSERT_EQ(::symlink(raw.header_path().c_str(), (base + "-header").c_str()), 0);
  ASSERT_EQ(::symlink(raw.data_path().c_str(), (base + "-data").c_str()), 0);
  auto ring = open_ring(base, 1000, true);
  ASSERT_FALSE(ring);
  EXPECT_EQ(ring.error().code.value(), ELOOP) << ring.error().message();
  ::unlink((base + "-header").c_str());
  ::unlink((base + "-data").c_str());
}

TEST(shared_ring, is_refused_if_not_a_regular_file) {
  const std::string base = "/dev/shm/" + fresh_name("fifo");
  ASSERT_EQ(::mkfifo((base + "-header").c_str(), 0600), 0);
  auto ring = open_ring(base, 1000, true);
  ASSERT_FALSE(ring);
  EXPECT_EQ(ring.error(), errc::malformed);
  EXPECT_NE(ring.error().text.find("no regular file"), std::string::npos) << ring.error().text;
  ::unlink((base + "-header").c_str());
}

TEST(shared_ring, names_a_missing_file) {
  auto ring = open_ring("/dev/shm/cpgring-test-nothing", 1000, true);
  ASSERT_FALSE(ring);
  EXPECT_EQ(ring.error().code.value(), ENOENT);
  EXPECT_NE(ring.error().text.find("/dev/shm/cpgring-test-nothing-header"), std::string::npos);
}

// Limits apply to the whole process, so these run in a child.
template <class Body>
void in_a_child(Body body) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::_exit(body() ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

bool expect_error(const result<shared_ring>& ring, errc code) {
  if (ring || ring.error() != code) {
    std::fprintf(stderr, "expected another error than '%s'\n",
                 ring ? "none" : ring.error().message().c_str());
    return false;
  }
  return true;
}

TEST(shared_ring, reports_a_lack_of_descriptors) {
  raw_ring raw;
  in_a_child([&] {
    const rlimit none{3, 3};
    ::setrlimit(RLIMIT_NOFILE, &none);
    return expect_error(open_ring(raw.base(), raw.max_message_size(), true), errc::no_descriptors);
  });
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // sanitizers map terabytes themselves
TEST(shared_ring, reports_a_lack_of_mappings) {
  raw_ring raw(std::size_t{16} << 20);
  in_a_child([&] {
    const rlimit little{std::size_t{64} << 20, std::size_t{64} << 20};
    ::setrlimit(RLIMIT_AS, &little);
    std::vector<result<shared_ring>> rings;
    for (int i = 0; i < 8; ++i) {
      rings.push_back(open_ring(raw.base(), raw.max_message_size(), false));
      if (!rings.back()) {
        return expect_error(rings.back(), errc::no_mappings);
      }
    }
    return false;
  });
}
#endif

}  // namespace
