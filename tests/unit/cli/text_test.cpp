// Untrusted bytes, made safe for a terminal and for JSON.
#include "cli/text.hpp"

#include <string>

#include <gtest/gtest.h>

namespace cpgring::cli {
namespace {

using namespace std::string_literals;

TEST(text, for_a_terminal_keeps_printable_unicode) {
  EXPECT_EQ(printable_text("plain, \tgr\u00fc\u00dfe, \u65e5\u672c, \U0001F600"),
            "plain, \tgr\u00fc\u00dfe, \u65e5\u672c, \U0001F600");
  EXPECT_EQ(printable_text(""), "");
  EXPECT_EQ(printable_text(R"(C:\temp)"), R"(C:\\temp)");
}

TEST(text, for_a_terminal_escapes_control_characters) {
  EXPECT_EQ(printable_text("\x1b[31mred\x1b[0m"), R"(\x1b[31mred\x1b[0m)");
  EXPECT_EQ(printable_text("two\nlines\r"), R"(two\x0alines\x0d)");
  EXPECT_EQ(printable_text("\0\x07\x7f"s), R"(\x00\x07\x7f)");
  EXPECT_EQ(printable_text("\u009b31m"), R"(\xc2\x9b31m)") << "the C1 form of ESC [";
  EXPECT_EQ(printable_text("\u202egnp.exe"), R"(\xe2\x80\xaegnp.exe)") << "right to left";
  EXPECT_EQ(printable_text("a\u2028b"), R"(a\xe2\x80\xa8b)");
}

TEST(text, for_a_terminal_escapes_invalid_utf8) {
  EXPECT_EQ(printable_text("\x9b\x33\x31m"), R"(\x9b31m)");
  EXPECT_EQ(printable_text("\xff\xfe"), R"(\xff\xfe)");
  EXPECT_EQ(printable_text("\xc0\x9b"), R"(\xc0\x9b)") << "overlong";
  EXPECT_EQ(printable_text("\xe0\x82\x9b"), R"(\xe0\x82\x9b)") << "overlong";
  EXPECT_EQ(printable_text("\xed\xa0\x80"), R"(\xed\xa0\x80)") << "a surrogate";
  EXPECT_EQ(printable_text("\xf4\x90\x80\x80"), R"(\xf4\x90\x80\x80)") << "above the last code point";
  EXPECT_EQ(printable_text("\xe2\x82"), R"(\xe2\x82)") << "truncated";
  EXPECT_EQ(printable_text("\xe2\x1b["), R"(\xe2\x1b[)");
}

TEST(text, for_a_table_is_ascii) { EXPECT_EQ(printable("group \\ \u00fc\x01"), R"(group \\ \xc3\xbc\x01)"); }

TEST(text, for_json_escapes_del_and_c1_controls) {
  EXPECT_EQ(without_raw_controls(R"({"plain": 1})"), R"({"plain": 1})");
  EXPECT_EQ(without_raw_controls("\"a\x7f"
                                 "b\""),
            R"("a\u007fb")");
  EXPECT_EQ(without_raw_controls("\"\u0080\u009b\u009f\""), R"("\u0080\u009b\u009f")");
  EXPECT_EQ(without_raw_controls("\"\u00a0\u00bf\u00fc\u0142\u4e80\""), "\"\u00a0\u00bf\u00fc\u0142\u4e80\"")
      << "characters above C1 are unchanged";
}

}  // namespace
}  // namespace cpgring::cli
