"""A PACS to try things on: made-up patients, and a Query/Retrieve SCP with faults to switch on."""
