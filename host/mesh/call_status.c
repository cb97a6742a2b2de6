/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/call_wire.h"

berth_status call_status_here(call_status status)
{
    switch (status) {
#define CASE(name, number, here, ran, text)                                                        \
    case number:                                                                                   \
        return here;
        CALL_STATUS_TABLE(CASE)
#undef CASE
    default:
        return BERTH_ERR_INTERNAL;
    }
}

call_status call_status_of(berth_status status)
{
    static const struct {
        berth_status here;
        call_status status;
    } rows[] = {
#define ROW(name, number, here, ran, text) {here, number},
        CALL_STATUS_TABLE(ROW)
#undef ROW
    };

    if (status == BERTH_ERR_NOT_FOUND || status == BERTH_ERR_STALE)
        return CALL_NOT_HERE;
    if (status == BERTH_ERR_SHUTTING_DOWN)
        return CALL_LOST;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].here == status)
            return rows[i].status;
    return CALL_INTERNAL;
}

bool call_status_ran(call_status status)
{
    switch (status) {
#define CASE(name, number, here, ran, text)                                                        \
    case number:                                                                                   \
        return ran;
        CALL_STATUS_TABLE(CASE)
#undef CASE
    default:
        return true;
    }
}

const char *call_status_text(call_status status)
{
    switch (status) {
#define CASE(name, number, here, ran, text)                                                        \
    case number:                                                                                   \
        return text;
        CALL_STATUS_TABLE(CASE)
#undef CASE
    default:
        return "the node answered with a status that is not known here";
    }
}
