/* OpenSSL's error queue as one of our errors. Private to proto/trust. */
#ifndef HAWSER_TRUST_OSSL_H
#define HAWSER_TRUST_OSSL_H

#include "proto/base/err.h"

/* Sets code and text, then ": " and the first reason in OpenSSL's queue, which is emptied. */
int ossl_err(struct hw_err *err, int code, const char *fmt, ...) HW_PRINTF(3, 4);

#endif
