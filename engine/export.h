// DECIBAN_API marks what libdeciban_engine.so shows; everything else in it is hidden.
#pragma once
#define DECIBAN_API __attribute__((visibility("default")))
