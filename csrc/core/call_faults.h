/* What the files that make calls fail have in common; see core/call_faults.c. */
#ifndef LUAWAIT_CORE_CALL_FAULTS_H
#define LUAWAIT_CORE_CALL_FAULTS_H

/* The error with which this call of `name` shall fail (the usual one), or 0. */
int lw_fault(const char *name, int usual);

/* The same for a call of the system's: is errno set to that error? */
int lw_broken(const char *name, int usual);

/* Where this thread's plan is kept; and the plan of another thread becomes this one's (NULL: its own again). */
void *lw_fault_plan(void);
void lw_fault_follow(void *plan);

/* From now on directories tell no types of their entries, as on some file systems; or do again. */
void lw_fault_typeless(int on);

/* Keeps the callback of a handle, for the one that stands in its place, until the handle is closed. */
typedef void (*lw_Callback)(void);
void lw_fault_remember(const void *key, lw_Callback callback);
lw_Callback lw_fault_recall(const void *key);

#endif
