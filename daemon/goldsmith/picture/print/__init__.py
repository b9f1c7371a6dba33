"""Pictures for print: inks, page boxes, and the files a press takes."""
