#include "hub/http.h"

#include <gtest/gtest.h>

namespace stemma {
namespace {

TEST(Http, OriginsTellHostsApart) {
  EXPECT_EQ(origin("https://Hub.example/a/b?c"), "https://hub.example");
  EXPECT_EQ(origin("https://hub.example:443"), "https://hub.example");
  EXPECT_EQ(origin("http://hub.example:80/"), "http://hub.example");
  for (const char* other :
       {"http://hub.example", "https://hub.example:8443", "https://hub.example.org",
        "https://hub.example@evil.org", "https://user@hub.example", "https://hub.example:80",
        "hub.example", ""})
    EXPECT_NE(origin(other), origin("https://hub.example")) << other;
}

TEST(Http, UrlsAreEncoded) {
  EXPECT_EQ(url_encoded("refs/pr/1"), "refs%2Fpr%2F1");
  EXPECT_EQ(url_encoded("1_Pooling/a b-c.~d", "/"), "1_Pooling/a%20b-c.~d");
  EXPECT_EQ(url_encoded("?#%\xc3\xa9"), "%3F%23%25%C3%A9");
}

}  // namespace
}  // namespace stemma
