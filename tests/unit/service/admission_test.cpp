// Which users a service admits, and who owns the files shared with a client. Tests with real processes:
// tests/flow/admission_test.cpp.
#include "service/admission.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/owned.hpp"

namespace {

using namespace cpgring;
using service::admission;
using service::identity;

embedded_service_options rules(std::optional<std::uint32_t> gid = {}, std::vector<std::uint32_t> uids = {}) {
  embedded_service_options o;
  o.allow_gid = gid;
  o.allow_uid = std::move(uids);
  return o;
}

const identity root{0, 0, {}}, plain{1000, 1000, {1000, 2000}};

std::string refusal_of(const embedded_service_options& o, const identity& own) {
  const auto made = admission::make(o, own);
  EXPECT_FALSE(made);
  EXPECT_EQ(made.error(), errc::invalid_param);
  return made ? "" : made.error().text;
}

TEST(admission, admits_root_and_the_own_user_by_default) {
  const auto of_root = *admission::make(rules(), root), of_plain = *admission::make(rules(), plain);
  EXPECT_TRUE(of_root.admits({0, 7, {}}));
  EXPECT_FALSE(of_root.admits({1000, 0, {0}}));
  EXPECT_TRUE(of_plain.admits({0, 0, {}}));
  EXPECT_TRUE(of_plain.admits({1000, 5, {}}));
  EXPECT_FALSE(of_plain.admits({1001, 1000, {2000}}));
}

TEST(admission, accepts_the_allowed_group_as_primary_or_supplementary) {
  const auto a = *admission::make(rules(2000), plain);
  EXPECT_TRUE(a.admits({1001, 2000, {}}));
  EXPECT_TRUE(a.admits({1001, 1001, {5, 2000}}));
  EXPECT_FALSE(a.admits({1001, 1001, {5}}));
}

TEST(admission, allowed_users_restrict_only_the_allowed_group) {
  const auto a = *admission::make(rules(2000, {1002, 1003}), plain);
  EXPECT_TRUE(a.admits({1003, 2000, {}}));
  EXPECT_FALSE(a.admits({1001, 2000, {}}));
  EXPECT_FALSE(a.admits({1002, 1002, {}}));
  EXPECT_TRUE(a.admits({0, 0, {}}));
  EXPECT_TRUE(a.admits({1000, 1000, {}}));
}

TEST(admission, refuses_rules_without_effect_and_names_the_remedy) {
  EXPECT_NE(refusal_of(rules(3000), plain).find("not in group 3000"), std::string::npos);
  EXPECT_NE(refusal_of(rules({}, {1001}), plain).find("--allow-gid"), std::string::npos);
}

TEST(admission, refuses_a_group_for_a_service_of_root) {
  EXPECT_NE(refusal_of(rules(0), root).find("--user"), std::string::npos);
  EXPECT_NE(refusal_of(rules(2000, {1001}), root).find("--user"), std::string::npos);
}

TEST(admission, only_a_root_service_changes_the_owner_of_shared_files) {
  const auto expect = [](const admission& a, const identity& client, uid_t uid, gid_t gid, mode_t mode) {
    const auto files = a.owner_for(client);
    EXPECT_EQ(files.uid, uid);
    EXPECT_EQ(files.gid, gid);
    EXPECT_EQ(files.mode, mode);
  };
  expect(*admission::make(rules(), root), {0, 7, {}}, 0, 7, 0600);
  const auto a = *admission::make(rules(2000), plain);
  expect(a, {0, 0, {}}, 1000, 1000, 0600);
  expect(a, {1000, 5, {}}, 1000, 1000, 0600);
  expect(a, {1001, 2000, {}}, 1000, 2000, 0660);
}

TEST(identity, peer_is_the_connecting_process) {
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  const base::unique_fd one(pair[0]), other(pair[1]);
  const auto peer = identity::peer(one.get());
  ASSERT_TRUE(peer);
  const auto own = identity::own();
  EXPECT_EQ(peer->uid, own.uid);
  EXPECT_EQ(peer->gid, own.gid);
  EXPECT_EQ(peer->groups, own.groups);
  EXPECT_FALSE(identity::peer(-1));
}

}  // namespace
